"""The embedded cluster: a stand-in API server and kubelets, for a machine without Kubernetes."""
