{{/*
Contradictions that the schema cannot see. Each message names the value and says what to do.
*/}}
{{- define "qiwi-gateway.checks" -}}
{{- $v := .Values -}}
{{- $nats := eq $v.state.engine "nats" -}}
{{- if $nats -}}
  {{- if not $v.state.nats.url -}}{{- fail "state.nats.url is missing: state.engine nats needs the brokers' addresses" -}}{{- end -}}
  {{- if not $v.state.key.existingSecret -}}{{- fail "state.key.existingSecret is missing: with state.engine nats all pods need the same ledger key" -}}{{- end -}}
  {{- if not $v.pageKey.existingSecret -}}{{- fail "pageKey.existingSecret is missing: with state.engine nats a page token of one pod has to be good for the others" -}}{{- end -}}
  {{- if not $v.fingerprintPepper.existingSecret -}}{{- fail "fingerprintPepper.existingSecret is missing: with state.engine nats the fingerprints of all pods have to agree" -}}{{- end -}}
  {{- if and (not $v.state.nats.monitorUrls) (not $v.state.nats.placementTag) -}}{{- fail "state.nats.monitorUrls is missing: the gateway has to see that the brokers sync each write; or promise it with state.nats.placementTag" -}}{{- end -}}
  {{- if and $v.state.nats.user (not $v.state.nats.password.existingSecret) -}}{{- fail "state.nats.password.existingSecret is missing: state.nats.user needs a password" -}}{{- end -}}
  {{- if and $v.state.nats.password.existingSecret (not $v.state.nats.user) -}}{{- fail "state.nats.user is missing: state.nats.password belongs to a user" -}}{{- end -}}
  {{- if and $v.state.nats.user $v.state.nats.credentials.existingSecret -}}{{- fail "state.nats.user and state.nats.credentials.existingSecret are both given, expected one" -}}{{- end -}}
  {{- if $v.state.persistence.existingClaim -}}{{- fail "state.persistence.existingClaim is of no use with state.engine nats: leave it out" -}}{{- end -}}
  {{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas" -}}{{- end -}}
  {{- if and $v.autoscaling.enabled (not $v.autoscaling.targetCPUUtilizationPercentage) (not $v.autoscaling.targetMemoryUtilizationPercentage) (not $v.autoscaling.metrics) -}}{{- fail "autoscaling.targetCPUUtilizationPercentage is 0 and no other metric is given: expected one to scale by" -}}{{- end -}}
  {{- $history := int (dig "limit" "history_per_minute" 80 $v.config) -}}
  {{- if gt (int (include "qiwi-gateway.podsMax" .)) $history -}}{{- fail (printf "%s, together with updateStrategy.maxSurge, is above config.limit.history_per_minute, which is %d: each pod needs one request a minute" (ternary "autoscaling.maxReplicas" "replicaCount" $v.autoscaling.enabled) $history) -}}{{- end -}}
  {{- if and (eq (toString $v.updateStrategy.maxSurge) "0") (eq (toString $v.updateStrategy.maxUnavailable) "0") -}}{{- fail "updateStrategy.maxSurge and updateStrategy.maxUnavailable are both 0: no pod could be replaced" -}}{{- end -}}
  {{- $least := ternary $v.autoscaling.minReplicas $v.replicaCount $v.autoscaling.enabled -}}
  {{- if and $v.podDisruptionBudget.enabled (kindIs "float64" $v.podDisruptionBudget.minAvailable) (ge (int $v.podDisruptionBudget.minAvailable) (int $least)) -}}{{- fail (printf "podDisruptionBudget.minAvailable is not below the fewest pods, %d: no node could be drained" (int $least)) -}}{{- end -}}
{{- else -}}
  {{- if $v.state.nats.url -}}{{- fail "state.nats.url is of no use with state.engine embedded: set state.engine to nats or leave it out" -}}{{- end -}}
{{- end -}}
{{- range $section := list "grpc" "notifications" "admin" -}}
  {{- $tls := (index $v $section).tls -}}
  {{- if and $tls.clientCa.existingSecret (not $tls.existingSecret) -}}{{- fail (printf "%s.tls.existingSecret is missing: %s.tls.clientCa needs TLS" $section $section) -}}{{- end -}}
{{- end -}}
{{- if and $v.admin.tls.clientCa.existingSecret (ne $v.admin.tls.clientAuth "optional") -}}{{- fail "admin.tls.clientAuth must be optional: the kubelet's probes show no certificate" -}}{{- end -}}
{{- if and (eq $v.probes.type "grpc") $v.grpc.tls.existingSecret -}}{{- fail "probes.type grpc needs a gRPC port without TLS, and grpc.tls.existingSecret is given: the kubelet speaks none; use http" -}}{{- end -}}
{{- if and (eq $v.probes.type "grpc") (ne $v.probes.readiness.path "/readyz") -}}{{- fail "probes.readiness.path is of no use with probes.type grpc: use http" -}}{{- end -}}
{{- $ports := list $v.grpc.port $v.admin.port -}}
{{- if $v.notifications.enabled -}}{{- $ports = append $ports $v.notifications.port -}}{{- end -}}
{{- if ne (len $ports) (len (uniq $ports)) -}}{{- fail "grpc.port, notifications.port and admin.port must differ" -}}{{- end -}}
{{- if not $v.notifications.enabled -}}
  {{- if $v.notifications.ingress.enabled -}}{{- fail "notifications.ingress.enabled needs notifications.enabled" -}}{{- end -}}
  {{- if $v.notifications.httpRoute.enabled -}}{{- fail "notifications.httpRoute.enabled needs notifications.enabled" -}}{{- end -}}
  {{- if $v.notifications.publicUrl -}}{{- fail "notifications.publicUrl needs notifications.enabled" -}}{{- end -}}
  {{- if eq $v.probes.readiness.path "/readyz/notifications" -}}{{- fail "probes.readiness.path /readyz/notifications needs notifications.enabled" -}}{{- end -}}
{{- end -}}
{{- if $v.notifications.ingress.enabled -}}
  {{- if not $v.notifications.ingress.hosts -}}{{- fail "notifications.ingress.hosts is missing: expected the host names QIWI posts to" -}}{{- end -}}
{{- end -}}
{{- if and $v.notifications.httpRoute.enabled (not $v.notifications.httpRoute.parentRefs) -}}{{- fail "notifications.httpRoute.parentRefs is missing: expected the Gateway the route belongs to" -}}{{- end -}}
{{- range $name, $of := $v.credentials -}}
  {{- if and (eq (toString (index $of "webhook")) "managed") (not $v.notifications.publicUrl) -}}{{- fail (printf "notifications.publicUrl is missing: credentials.%s.webhook managed registers it with QIWI" $name) -}}{{- end -}}
{{- end -}}
{{- range $name, $of := $v.callers -}}
  {{- if and $of.san (not $v.grpc.tls.clientCa.existingSecret) -}}{{- fail (printf "grpc.tls.clientCa.existingSecret is missing: callers.%s.san names certificates, which nobody would check" $name) -}}{{- end -}}
  {{- range $of.credentials -}}
    {{- if and (ne . "*") (not (hasKey $v.credentials .)) -}}{{- fail (printf "callers.%s.credentials: there is no credential called %s" $name .) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $least := int (include "qiwi-gateway.stopSeconds" .) -}}
{{- if lt (int (include "qiwi-gateway.graceSeconds" .)) $least -}}{{- fail (printf "terminationGracePeriodSeconds is %d, expected at least %d: drain.lameDuck, drain.grace, drain.telemetryFlush, config.payments.send_max and 10 s; or 0 to have it computed" (int $v.terminationGracePeriodSeconds) $least) -}}{{- end -}}
{{- if and $v.serviceMonitor.enabled $v.admin.tls.existingSecret (not $v.serviceMonitor.tlsConfig) -}}{{- fail "serviceMonitor.tlsConfig is missing: admin.tls.existingSecret makes /metrics HTTPS, and Prometheus has to know the authority" -}}{{- end -}}
{{- end -}}
