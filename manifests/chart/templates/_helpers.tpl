{{/* The name in app.kubernetes.io/name, and in the names of objects without fullnameOverride. */}}
{{- define "metricsapi.app" -}}
{{- .Values.nameOverride | default "metrics-server" | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* The name of the objects. Without fullnameOverride it is the one that metrics-server's chart gives. */}}
{{- define "metricsapi.name" -}}
{{- $app := include "metricsapi.app" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $app .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $app | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{/* A map as YAML without its null entries; nothing if it is empty. */}}
{{- define "metricsapi.defined" -}}
{{- $defined := dict -}}
{{- range $key, $value := . -}}
{{- if kindIs "map" $value -}}
{{- $_ := set $defined $key (include "metricsapi.defined" $value | fromYaml) -}}
{{- else if not (kindIs "invalid" $value) -}}
{{- $_ := set $defined $key $value -}}
{{- end -}}
{{- end -}}
{{- if $defined -}}
{{- toYaml $defined -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.selectorLabels" -}}
{{- $given := include "metricsapi.defined" .Values.selectorLabels -}}
{{- if $given -}}
{{- $given -}}
{{- else if .Values.fullnameOverride -}}
k8s-app: metrics-server
{{- else -}}
app.kubernetes.io/name: {{ include "metricsapi.app" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}
{{- end }}

{{- define "metricsapi.labels" -}}
{{- include "metricsapi.labelsWith" (list . dict) -}}
{{- end }}

{{/* The labels of an object, and more of its own: (list CONTEXT MAP). What selects comes first. */}}
{{- define "metricsapi.labelsWith" -}}
{{- $context := index . 0 -}}
{{- $more := include "metricsapi.defined" (index . 1) | fromYaml -}}
{{- with $context -}}
{{- $labels := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $labels "app.kubernetes.io/name" (include "metricsapi.app" .) -}}
{{- $_ := set $labels "app.kubernetes.io/instance" .Release.Name -}}
{{- $_ := set $labels "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $labels "k8s-app" "metrics-server" -}}
{{- $common := include "metricsapi.defined" .Values.commonLabels | fromYaml -}}
{{- toYaml (merge (dict) (include "metricsapi.selectorLabels" . | fromYaml) $more $common $labels) -}}
{{- end -}}
{{- end }}

{{/* Pods change only with what they run, so the labels of versions are not among theirs. */}}
{{- define "metricsapi.podLabels" -}}
{{- $labels := dict "app.kubernetes.io/name" (include "metricsapi.app" .) "app.kubernetes.io/instance" .Release.Name -}}
{{- $more := include "metricsapi.defined" .Values.podLabels | fromYaml -}}
{{- toYaml (merge (dict) (include "metricsapi.selectorLabels" . | fromYaml) $more $labels) -}}
{{- end }}

{{- define "metricsapi.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "metricsapi.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.caSecret" -}}
{{- include "metricsapi.name" . }}-ca
{{- end }}

{{/* The Secret with the serving certificate, where the server does not make its own. */}}
{{- define "metricsapi.certificateSecret" -}}
{{- if eq .Values.tls.type "existingSecret" -}}
{{- required "tls.existingSecret.name: tls.type existingSecret needs the name of a Secret with tls.crt and tls.key" .Values.tls.existingSecret.name -}}
{{- else if eq .Values.tls.type "cert-manager" -}}
{{- include "metricsapi.name" . -}}
{{- else if eq .Values.tls.type "helm" -}}
{{- fail "tls.type helm: a certificate made by Helm is never renewed; use metrics-server, where the server keeps a CA and renews by itself" -}}
{{- end -}}
{{- end }}

{{/* "true" if the server keeps a CA and writes it into the APIServices. */}}
{{- define "metricsapi.managesCA" -}}
{{- if and (eq .Values.tls.type "metrics-server") .Values.apiService.create (not .Values.apiService.insecureSkipTLSVerify) (not .Values.apiService.caBundle) -}}
true
{{- end -}}
{{- end }}

{{/* "true" if one replica scrapes and the others follow it: they need to know each other. */}}
{{- define "metricsapi.electsLeader" -}}
{{- if and (gt (int .Values.replicas) 1) (or (include "metricsapi.managesCA" .) (include "metricsapi.certificateSecret" .)) -}}
true
{{- end -}}
{{- end }}

{{/* "true" if replicas know each other by projected tokens, since no CA of the server signs for them. */}}
{{- define "metricsapi.replicaTokens" -}}
{{- if and (include "metricsapi.electsLeader" .) (not (include "metricsapi.managesCA" .)) -}}
true
{{- end -}}
{{- end }}

{{/* On the host's network 10250 is the kubelet's. */}}
{{- define "metricsapi.port" -}}
{{- if and .Values.hostNetwork.enabled (eq (int .Values.containerPort) 10250) -}}
{{- .Values.hostNetwork.containerPort | int -}}
{{- else -}}
{{- .Values.containerPort | int -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.image" -}}
{{- $repository := .Values.image.repository -}}
{{- if regexMatch "(^|/)(mirrored-)?metrics-server(-(amd64|arm|arm64|ppc64le|s390x))?$" $repository -}}
{{- fail (printf "image.repository: %s is an image of metrics-server, which this chart does not run: name an image of metricsapi (make image) and leave image.tag empty for the chart's version" $repository) -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.args" -}}
- --secure-port={{ include "metricsapi.port" . }}
{{- range .Values.defaultArgs }}
- {{ . | quote }}
{{- end }}
{{- if include "metricsapi.certificateSecret" . }}
- --tls-cert-file=/tls/tls.crt
- --tls-private-key-file=/tls/tls.key
{{- end }}
{{- if include "metricsapi.managesCA" . }}
- --manage-ca-bundle
{{- end }}
{{- if include "metricsapi.electsLeader" . }}
- --leader-elect
- --advertise-address=$(POD_IP)
{{- if include "metricsapi.replicaTokens" . }}
- --replica-token-file=/replica/token
{{- /* A Secret of one's own need not have ca.crt: the certificate of all replicas is the same. */}}
- --replica-certificate-authority=/tls/{{ ternary "ca.crt" "tls.crt" (eq .Values.tls.type "cert-manager") }}
{{- end }}
{{- if ne (include "metricsapi.name" .) "metrics-server" }}
- --leader-elect-resource-name={{ include "metricsapi.name" . }}
{{- end }}
{{- if ne (include "metricsapi.namespace" .) "kube-system" }}
- --leader-elect-resource-namespace={{ include "metricsapi.namespace" . }}
{{- end }}
{{- end }}
{{- if ne (include "metricsapi.name" .) "metrics-server" }}
- --service-name={{ include "metricsapi.name" . }}
- --ca-secret-name={{ include "metricsapi.caSecret" . }}
{{- end }}
{{- if ne .Values.kubelet.transport "direct" }}
- --kubelet-transport={{ .Values.kubelet.transport }}
{{- end }}
{{- if .Values.metrics.enabled }}
- --authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics
{{- end }}
{{- range .Values.args }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{- define "metricsapi.strategy" -}}
{{- with include "metricsapi.defined" .Values.updateStrategy -}}
{{- . -}}
{{- else -}}
type: RollingUpdate
rollingUpdate:
  maxSurge: {{ ternary 0 1 .Values.hostNetwork.enabled }}
  maxUnavailable: {{ ternary 1 0 .Values.hostNetwork.enabled }}
{{- end -}}
{{- end }}

{{/* The container's resources; docs/benchmarks.md has the measurements behind the numbers. */}}
{{- define "metricsapi.resources" -}}
{{- $resources := include "metricsapi.defined" .Values.resources | fromYaml -}}
{{- with .Values.nodes -}}
{{- $cpu := add 100 (div (int .) 10) -}}
{{- $memory := add 150 (div (mul (int .) 4) 10) -}}
{{- $requests := dict "cpu" (printf "%dm" $cpu) "memory" (printf "%dMi" $memory) -}}
{{- $_ := set $resources "requests" (merge $requests ($resources.requests | default dict)) -}}
{{- end -}}
{{- if $resources -}}
{{- toYaml $resources -}}
{{- end -}}
{{- end }}

{{/* Another kind of volume takes the place of the default emptyDir. */}}
{{- define "metricsapi.tmpVolume" -}}
{{- $volume := include "metricsapi.defined" .Values.tmpVolume | fromYaml -}}
{{- $other := omit $volume "emptyDir" -}}
{{- if $other -}}
{{- toYaml $other -}}
{{- else -}}
{{- toYaml (dict "emptyDir" ($volume.emptyDir | default dict)) -}}
{{- end -}}
{{- end }}

{{/* Replicas of one revision apart from each other, without other rules. */}}
{{- define "metricsapi.spread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else if and (gt (int .Values.replicas) 1) (not .Values.affinity) -}}
- topologyKey: kubernetes.io/hostname
  maxSkew: 1
  whenUnsatisfiable: DoNotSchedule
  nodeTaintsPolicy: Honor
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "metricsapi.selectorLabels" . | nindent 6 }}
- topologyKey: topology.kubernetes.io/zone
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- include "metricsapi.selectorLabels" . | nindent 6 }}
{{- end -}}
{{- end }}

{{/* The caBundle of the chart, base64; empty where something else writes it. */}}
{{- define "metricsapi.caBundle" -}}
{{- if .Values.apiService.caBundle -}}
{{- .Values.apiService.caBundle | b64enc -}}
{{- else if and (eq .Values.tls.type "existingSecret") .Values.tls.existingSecret.lookup -}}
{{- $secret := lookup "v1" "Secret" (include "metricsapi.namespace" .) .Values.tls.existingSecret.name -}}
{{- $data := $secret.data | default dict -}}
{{- get $data "ca.crt" | default (get $data "tls.crt") -}}
{{- end -}}
{{- end }}

{{- define "metricsapi.subjects" -}}
- kind: ServiceAccount
  name: {{ include "metricsapi.serviceAccount" . | quote }}
  namespace: {{ include "metricsapi.namespace" . | quote }}
{{- end }}

{{/* Values of metrics-server's chart that cannot have their effect, each with what to do instead. */}}
{{- define "metricsapi.refuse" -}}
{{- if .Values.addonResizer.enabled -}}
{{- fail "addonResizer.enabled: this chart has no addon-resizer; set nodes to the number of nodes, which sizes the requests, and addonResizer.enabled to false" -}}
{{- end -}}
{{- if and .Values.apiService.insecureSkipTLSVerify .Values.apiService.caBundle -}}
{{- fail "apiService.insecureSkipTLSVerify and apiService.caBundle: the API server takes one of them; set insecureSkipTLSVerify to false to verify by the bundle" -}}
{{- end -}}
{{- end }}
