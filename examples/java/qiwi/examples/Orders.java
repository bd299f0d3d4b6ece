package qiwi.examples;

import com.google.gson.Gson;
import java.io.IOException;
import java.net.URLEncoder;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;

/**
 * Orders and their ids in a folder that processes may share; a database does the same with a unique
 * index.
 *
 * <p>The file of an order appears whole or not at all, and only once, because it is written
 * elsewhere first and then linked. QIWI wants ids that differ and increase: an id is at least 1000
 * × Unix seconds, and greater than all that were claimed before. One folder belongs to one wallet,
 * and all who pay from the wallet use that folder.
 */
final class Orders {
  /** What is paid, to whom, and under which id. */
  record Order(String name, String wallet, String amount, String paymentId) {}

  /** The same as it stands in the file. */
  private static final class Stored {
    String name;
    String wallet;
    String amount;
    String payment_id;
  }

  private final Path folder;

  Orders(String folder) throws IOException {
    this.folder = Files.createDirectories(Path.of(folder));
  }

  /** The order of that name: as it was stored before, or new and with an id. */
  Order take(String name, String wallet, String amount) throws IOException {
    String encoded = URLEncoder.encode(name, StandardCharsets.UTF_8);
    Path file = folder.resolve("order-" + encoded + ".json");
    Order found;
    try {
      found = read(file);
    } catch (NoSuchFileException none) {
      keep(file, new Order(name, wallet, amount, claimId()));
      // Another process may have been quicker; then its id counts and ours stays unused.
      found = read(file);
    }
    if (!found.wallet().equals(wallet) || !found.amount().equals(amount)) {
      throw new IllegalArgumentException(
          "%s was %s RUB to %s before; that stays".formatted(name, found.amount(), found.wallet()));
    }
    return found;
  }

  private Order read(Path file) throws IOException {
    Stored of = new Gson().fromJson(Files.readString(file), Stored.class);
    return new Order(of.name, of.wallet, of.amount, of.payment_id);
  }

  /** Takes the next id: an empty file that can be made only once stands for it. */
  private String claimId() throws IOException {
    long next = 1000 * Instant.now().getEpochSecond();
    try (var claims = Files.newDirectoryStream(folder, "id-*")) {
      for (Path claim : claims) {
        next = Math.max(next, Long.parseLong(claim.getFileName().toString().substring(3)) + 1);
      }
    }
    for (; ; next++) {
      try {
        Files.createFile(folder.resolve("id-" + next));
        return Long.toString(next);
      } catch (FileAlreadyExistsException taken) {
        // The next one then.
      }
    }
  }

  /** Puts an order on the disk, unless one of that name is there already. */
  private void keep(Path file, Order order) throws IOException {
    Stored of = new Stored();
    of.name = order.name();
    of.wallet = order.wallet();
    of.amount = order.amount();
    of.payment_id = order.paymentId();
    Path draft = Files.createTempFile(folder, "draft-", "");
    try (FileChannel out = FileChannel.open(draft, StandardOpenOption.WRITE)) {
      out.write(ByteBuffer.wrap(new Gson().toJson(of).getBytes(StandardCharsets.UTF_8)));
      out.force(true);
      Files.createLink(file, draft);
    } catch (FileAlreadyExistsException quicker) {
      // `take` reads what the other one wrote.
    } finally {
      Files.delete(draft);
    }
    // The names of files are content of their folder.
    try (FileChannel names = FileChannel.open(folder, StandardOpenOption.READ)) {
      names.force(true);
    }
  }
}
