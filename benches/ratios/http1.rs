//! Just enough HTTP/1.1 to read a reply with a length.

/// Status, offset of the body and its length, once the head is complete.
pub(crate) fn head(input: &[u8]) -> Option<(u16, usize, usize)> {
    let end = input.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(input.get(..end)?).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    })?;
    Some((status, end + 4, length))
}
