package qiwi.examples;

import com.google.gson.Gson;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * A file that only grows, one line for each response of the stream.
 *
 * <p>Cursor and effect stand in the same line, so that both are on the disk or neither is. In a
 * database they share a transaction.
 */
final class Journal {
  /** What this program does with an event: it writes it down. */
  static final class Handled {
    final String event_id;
    final long sequence;
    final String transaction_id;

    Handled(String eventId, long sequence, String transactionId) {
      this.event_id = eventId;
      this.sequence = sequence;
      this.transaction_id = transactionId;
    }
  }

  private static final class Entry {
    String cursor;
    List<Handled> events;
  }

  private final FileChannel file;
  private final Set<String> known = new HashSet<>();
  private byte[] cursor;

  /**
   * Reads what is there. A line cut short by a crash is dropped: its cursor was not kept either, so
   * its events come again.
   */
  Journal(Path path) throws IOException {
    file =
        FileChannel.open(
            path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
    ByteBuffer bytes = ByteBuffer.allocate(Math.toIntExact(file.size()));
    while (bytes.hasRemaining() && file.read(bytes) >= 0) {}
    int whole = bytes.position();
    while (whole > 0 && bytes.get(whole - 1) != '\n') {
      whole--;
    }
    String text = new String(bytes.array(), 0, whole, StandardCharsets.UTF_8);
    text.lines().forEach(line -> note(new Gson().fromJson(line, Entry.class)));
    file.truncate(whole);
    file.position(whole);
  }

  /** Where to go on; null in a new file. */
  byte[] cursor() {
    return cursor;
  }

  boolean knows(String eventId) {
    return known.contains(eventId);
  }

  /** Puts the effect of a response on the disk, together with its cursor. */
  void keep(byte[] cursor, List<Handled> events) throws IOException {
    Entry entry = new Entry();
    entry.cursor = Base64.getEncoder().encodeToString(cursor);
    entry.events = events;
    ByteBuffer line =
        ByteBuffer.wrap((new Gson().toJson(entry) + "\n").getBytes(StandardCharsets.UTF_8));
    while (line.hasRemaining()) {
      file.write(line);
    }
    file.force(true);
    note(entry);
  }

  private void note(Entry entry) {
    cursor = Base64.getDecoder().decode(entry.cursor);
    entry.events.forEach(event -> known.add(event.event_id));
  }
}
