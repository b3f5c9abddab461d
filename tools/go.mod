// The programs the tests and the demo run against, each at the version it is known to work with.
// This file is a list of pins and no Go code belongs to it: every program is built by itself, with
// `go install <package>@<version>`, since their dependencies need not agree. The comment after a
// version is the package to build, and after "as" the program's name.
module github.com/knowledge-base/gateway/tools

go 1.24

require (
	github.com/Shopify/toxiproxy/v2 v2.5.0 // github.com/Shopify/toxiproxy/v2/cmd/server as toxiproxy-server
	github.com/open-policy-agent/opa v1.22.2 // github.com/open-policy-agent/opa as opa
	github.com/prometheus/prometheus v0.316.0 // github.com/prometheus/prometheus/cmd/promtool as promtool
	github.com/versity/versitygw v1.8.0 // github.com/versity/versitygw/cmd/versitygw as versitygw
)
