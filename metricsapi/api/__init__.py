"""What clients of the Metrics API ask for: from storage to JSON, protobuf, Table and YAML."""
