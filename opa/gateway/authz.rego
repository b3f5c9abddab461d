# METADATA
# title: May this principal do this?
# description: |
#   The gateway asks for this whole package (POST /v1/data/gateway/authz) and allows a request
#   only when `allow` is the boolean true. The conditions are in a package of their own,
#   because every rule of this one becomes a field of the answer.
package gateway.authz

import data.gateway.conditions

default allow := false

allow if {
	conditions.well_formed
	conditions.role_grants
	conditions.scope_covers
	conditions.person_where_needed
	conditions.same_tenant
	conditions.owner_may
}

# Each denial names the first condition that failed. The order matters: conditions about the caller
# come before those whose result would reveal something about the resource.
reason := "allowed" if {
	allow
} else := "malformed_input" if {
	not conditions.well_formed
} else := "role" if {
	not conditions.role_grants
} else := "scope" if {
	not conditions.scope_covers
} else := "person_only" if {
	not conditions.person_where_needed
} else := "tenant" if {
	not conditions.same_tenant
} else := "owner"

# Further duties of the gateway for an allowed request: none so far.
obligations := {}
