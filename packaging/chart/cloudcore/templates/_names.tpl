{{- define "cloudcore.labels" -}}
app.kubernetes.io/name: cloudcore
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* KubeEdge's, so that a Deployment of its chart can be upgraded: a selector cannot be changed. */ -}}
{{- define "cloudcore.selector" -}}
k8s-app: kubeedge
kubeedge: cloudcore
{{- end }}

{{- define "cloudcore.namespace" -}}
{{- if ne .Release.Namespace "kubeedge" -}}
{{- fail (printf "install it with --namespace kubeedge (not %s): edges' tools look for the join token there" .Release.Namespace) -}}
{{- end -}}
kubeedge
{{- end }}

{{- define "cloudcore.port" -}}
{{- $listener := dig "modules" "cloudHub" .listener dict .root.Values.cloudCore -}}
{{- get $listener "port" | default .default -}}
{{- end }}

{{- /* The whole of cloudcore.yaml. */ -}}
{{- define "cloudcore.config" -}}
{{- $modules := deepCopy .Values.cloudCore.modules -}}
{{- $hub := get $modules "cloudHub" | default dict -}}
{{- $_ := set $modules "cloudHub" $hub -}}
{{- $space := include "cloudcore.namespace" . -}}
{{- $own := list "cloudcore" (printf "cloudcore.%s" $space) (printf "cloudcore.%s.svc" $space) (printf "cloudcore.%s.svc.cluster.local" $space) -}}
{{- $_ := set $hub "dnsNames" (concat (get $hub "dnsNames" | default list) $own | compact | uniq) -}}
{{- $_ := set $hub "advertiseAddress" (get $hub "advertiseAddress" | default list | compact | uniq) -}}
{{- $config := dict "apiVersion" "cloudcore.config.kubeedge.io/v1alpha1" "kind" "CloudCore" "modules" $modules -}}
{{- $_ := set $config "commonConfig" (dict "monitorServer" (dict "bindAddress" "0.0.0.0:9091")) -}}
{{- if .Values.cloudCore.kubeAPIConfig }}{{ $_ := set $config "kubeAPIConfig" .Values.cloudCore.kubeAPIConfig }}{{ end -}}
{{- if .Values.cloudCore.featureGates }}{{ $_ := set $config "featureGates" .Values.cloudCore.featureGates }}{{ end -}}
{{- toYaml $config -}}
{{- end }}
