"""The MCP door: an agent's JSON-RPC messages become requests to the same pipeline and flows."""
