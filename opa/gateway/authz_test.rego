# METADATA
# title: The golden inputs, and tests of what they cannot express
# description: |
#   The contract tests use the same golden files for the server and for the embedded engine.
#   `opa test opa/` loads them as data.golden, each file under its own name.
package gateway.authz_test

import data.gateway.authz
import data.gateway.conditions

verdict(question) := {"allow": allow, "reason": reason} if {
	allow := authz.allow with input as question
	reason := authz.reason with input as question
}

names := {case.name | some file in data.golden; some case in file}

answered_as_expected contains case.name if {
	some file in data.golden
	some case in file
	verdict(case.input) == case.expect
}

test_golden_inputs_get_the_expected_verdict if {
	names - answered_as_expected == set()
}

test_golden_inputs_are_there if {
	count(data.golden) >= 4
	every file in data.golden {
		count(file) >= 20
	}
}

test_absent_input_is_denied if {
	not authz.allow
	authz.reason == "malformed_input"
}

test_obligations_are_empty if {
	authz.obligations == {}
}

# Without its data the policy still answers, and allows only what needs no role.
test_missing_data_denies if {
	golden := data.golden.roles[_]
	golden.name == "admin and documents:read"
	not authz.allow with input as golden.input with data.gateway.roles as {}
	not authz.allow with input as golden.input with data.gateway.roles as null
	not authz.allow with input as golden.input with data.gateway.roles as {"admin": "documents:read"}
	authz.allow with input as golden.input with data.gateway.roles as {"admin": ["documents:read"]}
}

known_reasons := {
	"allowed",
	"malformed_input",
	"role",
	"scope",
	"person_only",
	"tenant",
	"owner",
}

test_every_reason_has_a_golden_input if {
	{case.expect.reason | some file in data.golden; some case in file} == known_reasons
}

test_reader_may_do_less_than_editor_and_editor_less_than_admin if {
	every action in data.gateway.roles.reader {
		action in data.gateway.roles.editor
	}
	every action in data.gateway.roles.editor {
		action in data.gateway.roles.admin
	}
}

test_every_granted_action_has_a_golden_allow if {
	granted := {[role, action] | some role, actions in data.gateway.roles; some action in actions}
	shown := {[role, case.input.action] |
		some case in data.golden.roles
		case.expect.allow
		some role in case.input.subject.roles
	}
	granted - shown == set()
}

# Only an admin may act on other users' resources.
test_any_owner_is_for_admins if {
	every role, actions in data.gateway.roles {
		every action in actions {
			any_owner_only_for_admin(role, action)
		}
	}
}

any_owner_only_for_admin("admin", _)

any_owner_only_for_admin(role, action) if {
	role != "admin"
	not endswith(action, ":any-owner")
}

# The patterns of names match to the end: a line feed after a name is refused.
test_a_line_feed_ends_no_name if {
	conditions.is_name("ann")
	not conditions.is_name("ann\n")
	not conditions.is_role("admin\n")
}
