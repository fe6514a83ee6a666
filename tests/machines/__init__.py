"""The lab as three machines: gateway, agent, internet. See docs/lab.md."""
