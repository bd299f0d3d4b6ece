package qiwi.examples;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.LocalizedMessage;
import com.google.rpc.RequestInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * An error of a call in terms a program can act on.
 *
 * @param reason what to branch on; empty when the gateway did not answer: a lost connection, a
 *     proxy, the client's own deadline
 * @param metadata {@code paymentState}, {@code upstreamSent} and what else the reason comes with
 * @param fields the fields of the request that are wrong, each with what is wrong with it
 * @param retryAfter when the same request may succeed; null when it says nothing
 * @param text for people: in Russian where there is one
 */
record Refusal(
    Status.Code code,
    String reason,
    Map<String, String> metadata,
    List<String> fields,
    Duration retryAfter,
    String requestId,
    String text) {

  /** Reads the details that came with an error. */
  static Refusal of(StatusRuntimeException error) {
    String reason = "";
    String requestId = "";
    String text = String.valueOf(error.getStatus().getDescription());
    Map<String, String> metadata = Map.of();
    List<String> fields = new ArrayList<>();
    Duration retryAfter = null;
    // Without details of the server this is made of the code alone.
    com.google.rpc.Status status = StatusProto.fromThrowable(error);
    try {
      for (Any detail : status.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          reason = info.getReason();
          metadata = info.getMetadataMap();
        } else if (detail.is(BadRequest.class)) {
          for (var of : detail.unpack(BadRequest.class).getFieldViolationsList()) {
            fields.add(of.getField() + ": " + of.getDescription());
          }
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryAfter = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        } else if (detail.is(RequestInfo.class)) {
          requestId = detail.unpack(RequestInfo.class).getRequestId();
        } else if (detail.is(LocalizedMessage.class)) {
          text = detail.unpack(LocalizedMessage.class).getMessage();
        }
      }
    } catch (InvalidProtocolBufferException broken) {
      text += " (its details cannot be read: " + broken.getMessage() + ")";
    }
    Status.Code code = error.getStatus().getCode();
    return new Refusal(code, reason, metadata, fields, retryAfter, requestId, text);
  }

  /** The state of the payment, as the gateway's ledger has it; empty when it has none. */
  String paymentState() {
    return metadata.getOrDefault("paymentState", "");
  }

  /** The reason, or the code where there is none. */
  String name() {
    return reason.isEmpty() ? code.name() : reason;
  }

  /** One line for a log. The request id finds the call in the gateway's own log. */
  @Override
  public String toString() {
    if (reason.isEmpty()) {
      return code + " " + text;
    }
    List<String> parts = new ArrayList<>(List.of(code.name(), reason));
    parts.addAll(fields);
    if (retryAfter != null) {
      parts.add("again in " + retryAfter.toMillis() + " ms");
    }
    parts.add("request " + requestId);
    return String.join(" | ", parts);
  }
}
