{{/* What every container of the chart is allowed: nothing. The restricted pod security standard, and more. */}}
{{- define "qiwi-gateway.containerSecurity" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAs.user }}
runAsGroup: {{ int64 .Values.runAs.group }}
capabilities:
  drop: [ALL]
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "qiwi-gateway.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.runAs.user }}
runAsGroup: {{ int64 .Values.runAs.group }}
fsGroup: {{ int64 .Values.runAs.group }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* Volumes with configuration and secrets; those of the gateway and of its test alike. */}}
{{- define "qiwi-gateway.configVolumes" -}}
- name: config
  configMap:
    name: {{ include "qiwi-gateway.fullname" . }}
{{- $files := (fromJson (include "qiwi-gateway.files" .)).files }}
{{- if $files }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- range $files }}
      - secret:
          name: {{ .secret }}
          items:
            - key: {{ .key | quote }}
              path: {{ .path }}
      {{- end }}
{{- end }}
{{- end -}}

{{- define "qiwi-gateway.configMounts" -}}
- name: config
  mountPath: /etc/qiwi-gateway
  readOnly: true
{{- if (fromJson (include "qiwi-gateway.files" .)).files }}
- name: secrets
  mountPath: {{ include "qiwi-gateway.secrets" . }}
  readOnly: true
{{- end }}
{{- end -}}

{{- define "qiwi-gateway.httpProbe" -}}
httpGet:
  path: {{ .path }}
  port: admin
  scheme: {{ ternary "HTTPS" "HTTP" (not (empty .root.Values.admin.tls.existingSecret)) }}
{{- end -}}

{{- define "qiwi-gateway.probeTimes" -}}
periodSeconds: {{ int .periodSeconds }}
timeoutSeconds: {{ int .timeoutSeconds }}
failureThreshold: {{ int .failureThreshold }}
{{- end -}}

{{- define "qiwi-gateway.probes" -}}
{{- $grpc := eq .Values.probes.type "grpc" -}}
startupProbe:
  {{- if $grpc }}
  grpc:
    port: {{ int .Values.grpc.port }}
  {{- else }}
  {{- include "qiwi-gateway.httpProbe" (dict "root" . "path" "/startupz") | nindent 2 }}
  {{- end }}
  {{- include "qiwi-gateway.probeTimes" .Values.probes.startup | nindent 2 }}
livenessProbe:
  {{- /* gRPC health says no while the pod drains, which is no reason to kill it. */}}
  {{- include "qiwi-gateway.httpProbe" (dict "root" . "path" "/livez") | nindent 2 }}
  {{- include "qiwi-gateway.probeTimes" .Values.probes.liveness | nindent 2 }}
readinessProbe:
  {{- if $grpc }}
  grpc:
    port: {{ int .Values.grpc.port }}
  {{- else }}
  {{- include "qiwi-gateway.httpProbe" (dict "root" . "path" .Values.probes.readiness.path) | nindent 2 }}
  {{- end }}
  {{- include "qiwi-gateway.probeTimes" .Values.probes.readiness | nindent 2 }}
{{- end -}}

{{/*
The pod of both workloads. The checksum replaces pods when settings change that are read at start only. Credentials,
callers and all files of Secrets are read again while the gateway runs, so they are not in it; only that the last caller
went is, because the gateway does not open its door to everybody without a restart.
*/}}
{{- define "qiwi-gateway.podTemplate" -}}
{{- $nats := eq .Values.state.engine "nats" -}}
metadata:
  labels:
    {{- /* Without the chart's version, which would replace pods for nothing. */}}
    {{- $own := omit (merge (fromYaml (include "qiwi-gateway.selector" .)) (fromYaml (include "qiwi-gateway.common" .))) "helm.sh/chart" "app.kubernetes.io/managed-by" }}
    {{- toYaml (merge $own .Values.podLabels .Values.commonLabels) | nindent 4 }}
  annotations:
    {{- $settings := fromJson (include "qiwi-gateway.settings" .) }}
    checksum/config: {{ dict "sections" $settings.sections "open" (empty $settings.callers) | toJson | sha256sum }}
    kubectl.kubernetes.io/default-container: gateway
    {{- with merge (dict) .Values.podAnnotations .Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "qiwi-gateway.serviceAccount" . }}
  automountServiceAccountToken: false
  {{- /* A Service of this name would set variables QIWI_GATEWAY_…, which are settings. */}}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "qiwi-gateway.graceSeconds" . }}
  securityContext:
    {{- include "qiwi-gateway.podSecurity" . | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $nats }}
  {{- $spread := dict "kubernetes.io/hostname" .Values.topologySpread.hosts "topology.kubernetes.io/zone" .Values.topologySpread.zones }}
  {{- $rows := list }}
  {{- range $key, $when := $spread }}
  {{- if ne $when "Off" }}
  {{- $selector := dict "matchLabels" (fromYaml (include "qiwi-gateway.selector" $)) }}
  {{- $rows = append $rows (dict "maxSkew" 1 "topologyKey" $key "whenUnsatisfiable" $when "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash")) }}
  {{- end }}
  {{- end }}
  {{- with $rows }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: gateway
      image: {{ include "qiwi-gateway.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve, --config, /etc/qiwi-gateway/gateway.toml]
      env:
        - name: POD_NAME
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        {{- with .Values.telemetry.otlpEndpoint }}
        - name: OTEL_EXPORTER_OTLP_ENDPOINT
          value: {{ . | quote }}
        - name: OTEL_RESOURCE_ATTRIBUTES
          value: k8s.namespace.name={{ $.Release.Namespace }},k8s.pod.name=$(POD_NAME),service.instance.id=$(POD_NAME)
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: grpc
          containerPort: {{ int .Values.grpc.port }}
          protocol: TCP
        {{- if .Values.notifications.enabled }}
        - name: notifications
          containerPort: {{ int .Values.notifications.port }}
          protocol: TCP
        {{- end }}
        - name: admin
          containerPort: {{ int .Values.admin.port }}
          protocol: TCP
      {{- include "qiwi-gateway.probes" . | nindent 6 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "qiwi-gateway.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "qiwi-gateway.configMounts" . | nindent 8 }}
        - name: tmp
          mountPath: /tmp
        {{- if not $nats }}
        - name: state
          mountPath: {{ include "qiwi-gateway.state" . }}
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- include "qiwi-gateway.configVolumes" . | nindent 4 }}
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- if and (not $nats) .Values.state.persistence.existingClaim }}
    - name: state
      persistentVolumeClaim:
        claimName: {{ .Values.state.persistence.existingClaim }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
