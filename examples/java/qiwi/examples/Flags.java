package qiwi.examples;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Words of the command line: {@code --name value} or {@code --name=value}, and the others. */
final class Flags {
  private final Map<String, String> given = new HashMap<>();
  private final List<String> rest = new ArrayList<>();

  /** `defaults` has every flag there is. */
  Flags(String[] words, Map<String, String> defaults) {
    given.putAll(defaults);
    for (int at = 0; at < words.length; at++) {
      if (!words[at].startsWith("--")) {
        rest.add(words[at]);
        continue;
      }
      String[] parts = words[at].substring(2).split("=", 2);
      boolean apart = parts.length == 1;
      if (!defaults.containsKey(parts[0]) || (apart && ++at == words.length)) {
        throw new IllegalArgumentException("--" + parts[0] + " is no flag, or lacks its value");
      }
      given.put(parts[0], apart ? words[at] : parts[1]);
    }
  }

  String text(String name) {
    return given.get(name);
  }

  int number(String name) {
    return Integer.parseInt(given.get(name));
  }

  long milliseconds(String name) {
    return Math.round(1000 * Double.parseDouble(given.get(name)));
  }

  /** What follows the flags; there have to be so many. */
  List<String> rest(int count, String usage) {
    if (rest.size() != count) {
      throw new IllegalArgumentException("usage: " + usage);
    }
    return rest;
  }
}
