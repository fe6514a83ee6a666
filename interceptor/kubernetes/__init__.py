"""Kubernetes manifests: workloads rewritten so that their only way out is egressguard."""
