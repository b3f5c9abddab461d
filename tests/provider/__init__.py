"""A real OpenID Connect provider for tests, as a company has one: npm's ``oidc-provider``."""
