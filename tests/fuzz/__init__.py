"""What reads bytes from outside, fed with bytes that a fuzzer finds; its findings stay as tests."""
