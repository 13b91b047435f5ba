/**
 * Foreign text made safe to show: control, bidi and other invisible characters are written as \u{…}, so that a file
 * name, an event's data or a certificate can't move a cursor or reorder what is read.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
