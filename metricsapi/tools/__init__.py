"""What people run beside the server: the doctor, the sandbox, the status page in a terminal."""
