"""The other services a client asks: STS, Service Quotas and the control plane of Bedrock."""
