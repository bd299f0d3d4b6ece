//! The binary answers: small but valid PDF and JPEG files.

/// A one-page PDF that shows the given lines. Only ASCII is shown, other characters become `?`.
pub(super) fn pdf(lines: &[String]) -> Vec<u8> {
    let mut text = String::from("BT /F1 12 Tf 14 TL 40 800 Td\n");
    for line in lines {
        text.push('(');
        for character in line.chars() {
            match character {
                '(' | ')' | '\\' => text.extend(['\\', character]),
                ' '..='~' => text.push(character),
                _ => text.push('?'),
            }
        }
        text.push_str(") Tj T*\n");
    }
    text.push_str("ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R \
         /Resources << /Font << /F1 5 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut file = String::from("%PDF-1.4\n");
    let mut offsets = Vec::with_capacity(objects.len());
    for (index, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", index + 1));
    }
    let table = file.len();
    let size = objects.len() + 1;
    file.push_str(&format!("xref\n0 {size}\n0000000000 65535 f \n"));
    for offset in offsets {
        file.push_str(&format!("{offset:010} 00000 n \n"));
    }
    file.push_str(&format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n"));
    file.into_bytes()
}

/// A grey JPEG of 8 × 8 pixels that carries the text as its comment.
pub(super) fn jpeg(comment: &str) -> Vec<u8> {
    let mut file = vec![0xFF, 0xD8];
    segment(&mut file, 0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    segment(&mut file, 0xFE, comment.as_bytes());
    let mut quantisation = vec![0];
    quantisation.extend([1; 64]);
    segment(&mut file, 0xDB, &quantisation);
    segment(&mut file, 0xC0, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0]);
    // Two Huffman tables with a single one-bit code each: "no difference" and "end of block".
    for class in [0x00, 0x10] {
        let mut table = vec![class, 1];
        table.extend([0; 15]);
        table.push(0);
        segment(&mut file, 0xC4, &table);
    }
    segment(&mut file, 0xDA, &[1, 1, 0, 0, 63, 0]);
    // The only block: both codes, padded with ones; then the end marker.
    file.extend([0x3F, 0xFF, 0xD9]);
    file
}

fn segment(file: &mut Vec<u8>, marker: u8, content: &[u8]) {
    // Every segment here is far below the 65 533 bytes the length field can express.
    let content = content.get(..content.len().min(65_533)).unwrap_or(content);
    let length = u16::try_from(content.len() + 2).unwrap_or(u16::MAX);
    file.extend([0xFF, marker]);
    file.extend(length.to_be_bytes());
    file.extend(content);
}
