// The programs the tests and the demo run against, each at the version it is known to work with.
// This file is a list of pins and no Go code belongs to it: every program is built by itself, with
// `go install <package>@<version>`, since their dependencies need not agree. The comment after a
// version is the package to build, and after "as" the program's name; or, where nothing is built,
// "schemas in" and where the module keeps those of its custom resources.
module github.com/knowledge-base/gateway/tools

go 1.24

require (
	github.com/Shopify/toxiproxy/v2 v2.5.0 // github.com/Shopify/toxiproxy/v2/cmd/server as toxiproxy-server
	github.com/bufbuild/buf v1.75.0 // github.com/bufbuild/buf/cmd/buf as buf
	github.com/compose-spec/compose-go/v2 v2.16.2 // github.com/compose-spec/compose-go/v2/cmd as compose-spec
	github.com/envoyproxy/gateway v1.9.1 // schemas in charts/gateway-helm/charts/crds/crds/generated
	github.com/fullstorydev/grpcurl v1.9.4 // github.com/fullstorydev/grpcurl/cmd/grpcurl as grpcurl
	github.com/improbable-eng/grpc-web v0.15.0 // github.com/improbable-eng/grpc-web/go/grpcwebproxy as grpcwebproxy
	github.com/oasdiff/oasdiff v1.37.0 // github.com/oasdiff/oasdiff as oasdiff
	github.com/open-policy-agent/opa v1.22.2 // github.com/open-policy-agent/opa as opa
	github.com/prometheus/prometheus v0.316.0 // github.com/prometheus/prometheus/cmd/promtool as promtool
	github.com/prometheus-operator/prometheus-operator v0.85.0 // schemas in example/prometheus-operator-crd
	github.com/versity/versitygw v1.8.0 // github.com/versity/versitygw/cmd/versitygw as versitygw
	github.com/zegl/kube-score v1.20.0 // github.com/zegl/kube-score/cmd/kube-score as kube-score
	istio.io/api v1.32.0 // schemas in kubernetes/customresourcedefinitions.gen.yaml
	sigs.k8s.io/gateway-api v1.6.1 // schemas in config/crd/standard
	sigs.k8s.io/kustomize/kustomize/v5 v5.8.2 // sigs.k8s.io/kustomize/kustomize/v5 as kustomize
)
