package qiwi.examples;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Words of the command line: {@code --name value} before the others. */
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
      String name = words[at].substring(2);
      if (!defaults.containsKey(name) || ++at == words.length) {
        throw new IllegalArgumentException("--" + name + " is no flag, or lacks its value");
      }
      given.put(name, words[at]);
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
