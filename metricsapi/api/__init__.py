"""The Metrics API: from storage to lists and objects in JSON, protobuf, Table and YAML."""
