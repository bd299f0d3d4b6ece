package qiwi.examples;

import com.google.gson.Gson;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** How the examples reach the gateway that the environment names. */
final class Gateway {
  private Gateway() {}

  /**
   * Opens a channel.
   *
   * <p>GATEWAY is the address, 127.0.0.1:50051 without it; a name is resolved to all of its
   * addresses, and calls go round them. With GATEWAY_CA, a PEM file of authorities, the channel
   * uses TLS; with GATEWAY_CERT and GATEWAY_KEY it shows a certificate of its own.
   */
  static ManagedChannel connect() throws IOException {
    String address = environment("GATEWAY", "127.0.0.1:50051");
    if (!address.contains(":///")) {
      address = "dns:///" + address;
    }
    // Which methods the library may repeat by itself: reads, and none that pays.
    String config = Files.readString(Path.of("docs/service-config.json"));
    @SuppressWarnings("unchecked")
    Map<String, Object> parsed = new Gson().fromJson(config, Map.class);
    return Grpc.newChannelBuilder(address, transport())
        .defaultServiceConfig(parsed)
        // Older versions repeat nothing unless they are told so.
        .enableRetry()
        // A dead connection is found out also while nothing is called.
        .keepAliveTime(30, TimeUnit.SECONDS)
        .keepAliveTimeout(10, TimeUnit.SECONDS)
        .keepAliveWithoutCalls(true)
        .build();
  }

  private static ChannelCredentials transport() throws IOException {
    String authorities = environment("GATEWAY_CA", "");
    if (authorities.isEmpty()) {
      return InsecureChannelCredentials.create();
    }
    TlsChannelCredentials.Builder tls = TlsChannelCredentials.newBuilder();
    tls.trustManager(new File(authorities));
    String certificate = environment("GATEWAY_CERT", "");
    if (!certificate.isEmpty()) {
      tls.keyManager(new File(certificate), new File(environment("GATEWAY_KEY", "")));
    }
    return tls.build();
  }

  /**
   * Sends with each call the name of the credential it uses, and who calls when
   * GATEWAY_CALLER_KEY is set. The token of the credential never leaves the gateway.
   */
  static ClientInterceptor as(String credential) {
    Metadata sent = new Metadata();
    sent.put(key("x-qiwi-credential"), credential);
    String caller = environment("GATEWAY_CALLER_KEY", "");
    if (!caller.isEmpty()) {
      sent.put(key("x-qiwi-caller-key"), caller);
    }
    return MetadataUtils.newAttachHeadersInterceptor(sent);
  }

  private static Metadata.Key<String> key(String name) {
    return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
  }

  private static String environment(String name, String otherwise) {
    String value = System.getenv(name);
    return value == null || value.isEmpty() ? otherwise : value;
  }
}
