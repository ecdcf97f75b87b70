"""Usage to bytes: JSON, protobuf, Table, YAML, and the texts of quantities and times."""
