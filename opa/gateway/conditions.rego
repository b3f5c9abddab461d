# METADATA
# title: What must hold before anything is allowed
# description: |
#   Each condition is true or undefined, never an error: a field that is missing or of the wrong
#   type makes its condition undefined, and an undefined condition denies.
package gateway.conditions

# A name becomes part of object keys and headers, so the policy trusts no one to have checked it.
# `$` is the end of the text here: Rego's expressions are RE2's, where it lets no newline through.
name_pattern := `^[a-z0-9][a-z0-9_-]{0,63}$`

role_pattern := `^[a-z][a-z-]{0,31}$`

# The input has exactly these fields. One too many means that the gateway and the policy do not
# speak the same version, and a guess is not an answer.
well_formed if {
	object.keys(input) == {"subject", "action", "resource", "request"}
	is_string(input.action)
	subject_well_formed
	resource_well_formed
	request_well_formed
}

subject_well_formed if {
	object.keys(input.subject) == {"id", "tenant", "roles", "scopes", "auth"}
	is_name(input.subject.id)
	is_name(input.subject.tenant)
	is_array(input.subject.roles)
	every role in input.subject.roles {
		is_role(role)
	}
	credential_well_formed
}

# A token is narrowed by no scopes; a key always is, so one without is a fault and not a licence.
credential_well_formed if {
	input.subject.auth == "jwt"
	input.subject.scopes == null
}

credential_well_formed if {
	input.subject.auth in {"jwt", "api_key"}
	is_array(input.subject.scopes)
	every scope in input.subject.scopes {
		is_string(scope)
	}
}

resource_well_formed if {
	object.keys(input.resource) == {"type", "id", "owner", "tenant"}
	is_string(input.resource.type)
	is_string_or_null(input.resource.id)
	owner_well_formed
	tenant_well_formed
}

# The caller's own names were matched already, and matching is what costs most here.
owner_well_formed if {
	input.resource.owner == input.subject.id
} else if {
	is_name_or_null(input.resource.owner)
}

tenant_well_formed if {
	input.resource.tenant == input.subject.tenant
} else if {
	is_name(input.resource.tenant)
}

request_well_formed if {
	object.keys(input.request) == {"method", "route", "ip"}
	every part in input.request {
		is_string(part)
	}
}

is_name(text) if {
	is_string(text)
	regex.match(name_pattern, text)
}

is_role(text) if {
	is_string(text)
	regex.match(role_pattern, text)
}

is_name_or_null(null)

is_name_or_null(text) if is_name(text)

is_string_or_null(null)

is_string_or_null(text) if is_string(text)

# Who you are taken for is nobody's secret from yourself, whatever your role.
role_grants if input.action == "auth:me"

role_grants if {
	some role in input.subject.roles
	input.action in data.gateway.roles[role]
}

# Scopes are compared literally: `documents:read` never covers `documents:read:any-owner`.
scope_covers if input.subject.scopes == null

scope_covers if input.action in input.subject.scopes

# A key never begets a key: a stolen one could otherwise outlive its own revocation.
person_where_needed if input.subject.auth == "jwt"

person_where_needed if not input.action in {"keys:create", "keys:rotate"}

same_tenant if input.resource.tenant == input.subject.tenant

# Nobody owns a collection, and a resource's owner is its own; others' take an action of their own.
owner_may if input.resource.owner == null

owner_may if input.resource.owner == input.subject.id

owner_may if endswith(input.action, ":any-owner")
