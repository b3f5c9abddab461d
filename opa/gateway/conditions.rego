# METADATA
# title: The conditions for an allow
# description: |
#   Each condition is true or undefined, never an error: a field that is missing or of the wrong
#   type makes its condition undefined, and an undefined condition denies. If a condition has several
#   bodies, the usual one comes first and the others are its `else`, which are then not evaluated.
package gateway.conditions

# The input has exactly these fields: an object pattern matches only an object with the same keys. An
# unknown field means that gateway and policy are of different versions, so the request is denied.
well_formed if {
	{"subject": subject, "action": action, "resource": resource, "request": request} = input
	is_string(action)
	subject_well_formed(subject)
	resource_well_formed(resource)
	{"method": method, "route": route, "ip": ip} = request
	is_string(method)
	is_string(route)
	is_string(ip)
}

subject_well_formed(subject) if {
	{"id": id, "tenant": tenant, "roles": roles, "scopes": scopes, "auth": auth} = subject
	is_name(id)
	is_name(tenant)
	is_array(roles)
	every role in roles {
		is_role(role)
	}
	credential_well_formed(auth, scopes)
}

# A token has no scopes; a key always has some, so a key without scopes is malformed.
credential_well_formed("jwt", null)

credential_well_formed(auth, scopes) if {
	auth in {"jwt", "api_key"}
	is_array(scopes)
	every scope in scopes {
		is_string(scope)
	}
}

resource_well_formed(resource) if {
	{"type": type, "id": id, "owner": owner, "tenant": tenant} = resource
	is_string(type)
	is_string_or_null(id)
	owner_well_formed(owner)
	tenant_well_formed(tenant)
}

# The caller's own names were matched already, and matching is the most expensive step here.
owner_well_formed(owner) if {
	owner == input.subject.id
} else if {
	is_name_or_null(owner)
}

tenant_well_formed(tenant) if {
	tenant == input.subject.tenant
} else if {
	is_name(tenant)
}

# A name becomes part of object keys and headers, so the policy checks it itself. `$` is the end of
# the text here: Rego uses RE2, where it does not match before a final newline. The length is checked
# separately: an expression that counts takes twice as long to compile, and it is compiled each time.
is_name(text) if {
	is_string(text)
	count(text) <= 64
	regex.match(`^[a-z0-9][a-z0-9_-]*$`, text)
}

is_role(text) if {
	is_string(text)
	count(text) <= 32
	regex.match(`^[a-z][a-z-]*$`, text)
}

is_name_or_null(null)

is_name_or_null(text) if is_name(text)

is_string_or_null(null)

is_string_or_null(text) if is_string(text)

# Every caller may read their own identity, and log out, whatever their role.
role_grants if input.action in {"auth:logout", "auth:me"}

role_grants if {
	some role in input.subject.roles
	input.action in data.gateway.roles[role]
}

# Scopes are compared literally: `documents:read` never covers `documents:read:any-owner`.
scope_covers if {
	input.subject.scopes == null
} else if {
	input.action in input.subject.scopes
}

# An API key cannot create keys: a stolen key could otherwise outlive its own revocation. Nor can it
# log its owner out: that would end tokens which are not the key's.
person_where_needed if {
	input.subject.auth == "jwt"
} else if {
	not input.action in {"auth:logout", "keys:create", "keys:rotate"}
}

same_tenant if input.resource.tenant == input.subject.tenant

# A collection has no owner. A resource's owner may act on it; others need an `:any-owner` action.
owner_may if {
	input.resource.owner == input.subject.id
} else if {
	input.resource.owner == null
} else if {
	endswith(input.action, ":any-owner")
}
