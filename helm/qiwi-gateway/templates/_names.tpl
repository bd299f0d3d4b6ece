{{/* Names, labels and selectors. Selectors never change with the version: they are immutable. */}}

{{- define "qiwi-gateway.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Room is left for the longest suffix of an object. */}}
{{- define "qiwi-gateway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "qiwi-gateway.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "qiwi-gateway.selector" -}}
app.kubernetes.io/name: {{ include "qiwi-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gateway
{{- end -}}

{{/* Label values have no "+" and 63 characters at most. */}}
{{- define "qiwi-gateway.common" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "qiwi-gateway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: qiwi-gateway
{{- end -}}

{{/*
The metadata of an object: (dict "root" $ "suffix" "-headless" "component" "gateway" "labels" … "annotations" …).
The chart's labels win, because selectors stand on them.
*/}}
{{- define "qiwi-gateway.metadata" -}}
{{- $root := .root -}}
{{- $own := fromYaml (include "qiwi-gateway.common" $root) -}}
{{- $_ := set $own "app.kubernetes.io/component" (.component | default "gateway") -}}
{{- $labels := merge $own (.labels | default dict) $root.Values.commonLabels -}}
{{- $annotations := merge (dict) (.annotations | default dict) $root.Values.commonAnnotations -}}
name: {{ .name | default (printf "%s%s" (include "qiwi-gateway.fullname" $root) (.suffix | default "")) }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "qiwi-gateway.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "qiwi-gateway.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "qiwi-gateway.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The label of pods that may call when nobody said who may. */}}
{{- define "qiwi-gateway.clientLabel" -}}
{{- printf "%s-client" (include "qiwi-gateway.fullname" .) -}}
{{- end -}}

{{/* The port of a URL: (dict "url" … "default" …). */}}
{{- define "qiwi-gateway.port" -}}
{{- $authority := (urlParse (trim .url)).host -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $authority) | default (toString .default) -}}
{{- end -}}
