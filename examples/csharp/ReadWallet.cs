// Reads a wallet: its balances, with a deadline, and what a refusal says.
//
// NOT RUN BY THE TESTS of this repository, unlike the examples in the other languages: treat it
// as a sketch to start from. What it relies on is checked for all languages alike: the namespaces
// of the generated code (tests/tidy.rs) and what the gateway answers (tests/clients).
//
//     dotnet new console
//     dotnet add package Google.Protobuf
//     dotnet add package Grpc.Net.Client
//     dotnet add package Grpc.StatusProto
//     dotnet add package Grpc.Tools
//
// and in the project file
//
//     <ItemGroup>
//       <Protobuf Include="../../proto/qiwi/**/*.proto" ProtoRoot="../../proto" GrpcServices="Client" />
//     </ItemGroup>
//
// The environment says where the gateway is. GATEWAY is its address, 127.0.0.1:50051 without it;
// a name is resolved to all of its addresses, and calls go round them. With GATEWAY_CA, a PEM file
// of authorities, the channel uses TLS; with GATEWAY_CERT and GATEWAY_KEY it shows a certificate
// of its own. GATEWAY_CALLER_KEY says who calls, where callers are configured.

using System.Net.Http;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Google.Rpc;
using Grpc.Core;
using Grpc.Net.Client;
using Grpc.Net.Client.Configuration;
using Qiwi.Wallet.V1;

const double DeadlineSeconds = 5;

using var channel = Connect();
var balances = new BalanceService.BalanceServiceClient(channel);
try
{
    // The gateway gives up shortly before the deadline, so that an answer with details arrives
    // and not a bare timeout. A call without a deadline may wait for ever.
    var reply = await balances.ListBalancesAsync(
        new ListBalancesRequest(),
        new CallOptions(Credential("demo"), DateTime.UtcNow.AddSeconds(DeadlineSeconds)));
    foreach (var balance in reply.Balances)
    {
        // An absent amount is one QIWI did not tell, as for linked phones; it is not zero.
        Console.WriteLine($"{balance.Alias} {(balance.Amount is null ? "(not told)" : Text(balance.Amount))}");
    }
    return 0;
}
catch (RpcException error)
{
    Console.Error.WriteLine($"failed: {Explain(error)}");
    return 1;
}

// Which of the gateway's credentials a call uses; its token never leaves the gateway.
static Metadata Credential(string name)
{
    var sent = new Metadata { { "x-qiwi-credential", name } };
    if (Environment.GetEnvironmentVariable("GATEWAY_CALLER_KEY") is { Length: > 0 } key)
    {
        sent.Add("x-qiwi-caller-key", key);
    }
    return sent;
}

// One line made of what a program can act on.
static string Explain(RpcException error)
{
    // Null where the gateway did not answer: a lost connection, a proxy, the client's own deadline.
    var status = error.GetRpcStatus();
    if (status?.GetDetail<ErrorInfo>() is not { } info)
    {
        return $"{error.StatusCode} {error.Status.Detail}";
    }
    var parts = new List<string> { error.StatusCode.ToString(), info.Reason };
    foreach (var field in status.GetDetail<BadRequest>()?.FieldViolations ?? [])
    {
        parts.Add($"{field.Field}: {field.Description}");
    }
    if (status.GetDetail<RetryInfo>() is { } retry)
    {
        parts.Add($"again in {retry.RetryDelay.ToTimeSpan().TotalMilliseconds} ms");
    }
    parts.Add($"request {status.GetDetail<RequestInfo>()?.RequestId}");
    return string.Join(" | ", parts);
}

// Exact decimal text of a Money; no floating point on the way.
static string Text(Qiwi.Type.V1.Money money)
{
    var amount = money.Units + money.Nanos / 1_000_000_000m;
    return FormattableString.Invariant($"{amount:0.00#######} {money.CurrencyCode}");
}

static GrpcChannel Connect()
{
    var tls = Environment.GetEnvironmentVariable("GATEWAY_CA") is { Length: > 0 };
    var address = Environment.GetEnvironmentVariable("GATEWAY") is { Length: > 0 } given
        ? given
        : "127.0.0.1:50051";
    var handler = new SocketsHttpHandler
    {
        // A dead connection is found out also while nothing is called.
        KeepAlivePingDelay = TimeSpan.FromSeconds(30),
        KeepAlivePingTimeout = TimeSpan.FromSeconds(10),
        KeepAlivePingPolicy = HttpKeepAlivePingPolicy.Always,
        EnableMultipleHttp2Connections = true,
    };
    if (tls)
    {
        handler.SslOptions = Security();
    }
    return GrpcChannel.ForAddress($"dns:///{address}", new GrpcChannelOptions
    {
        Credentials = tls ? ChannelCredentials.SecureSsl : ChannelCredentials.Insecure,
        HttpHandler = handler,
        ServiceConfig = Repeats(),
    });
}

// Which methods the library may repeat by itself: reads, and none that pays.
static ServiceConfig Repeats()
{
    using var file = JsonDocument.Parse(File.ReadAllText("../../docs/service-config.json"));
    var reads = new MethodConfig
    {
        RetryPolicy = new RetryPolicy
        {
            MaxAttempts = 3,
            InitialBackoff = TimeSpan.FromSeconds(0.1),
            MaxBackoff = TimeSpan.FromSeconds(1),
            BackoffMultiplier = 2,
            RetryableStatusCodes = { StatusCode.Unavailable },
        },
    };
    foreach (var entry in file.RootElement.GetProperty("methodConfig").EnumerateArray())
    {
        foreach (var name in entry.GetProperty("name").EnumerateArray())
        {
            reads.Names.Add(new MethodName
            {
                Service = name.GetProperty("service").GetString(),
                Method = name.GetProperty("method").GetString(),
            });
        }
    }
    return new ServiceConfig
    {
        MethodConfigs = { reads },
        LoadBalancingConfigs = { new RoundRobinConfig() },
        RetryThrottling = new RetryThrottlingPolicy { MaxTokens = 10, TokenRatio = 0.1 },
    };
}

static SslClientAuthenticationOptions Security()
{
    var authorities = new X509Certificate2Collection();
    authorities.ImportFromPemFile(Environment.GetEnvironmentVariable("GATEWAY_CA")!);
    var policy = new X509ChainPolicy
    {
        TrustMode = X509ChainTrustMode.CustomRootTrust,
        RevocationMode = X509RevocationMode.NoCheck,
    };
    policy.CustomTrustStore.AddRange(authorities);
    var options = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
    if (Environment.GetEnvironmentVariable("GATEWAY_CERT") is { Length: > 0 } certificate)
    {
        var key = Environment.GetEnvironmentVariable("GATEWAY_KEY");
        options.ClientCertificates = [X509Certificate2.CreateFromPemFile(certificate, key)];
    }
    return options;
}
