/**
 * A Buffer with the method that writes one byte per UTF-16 unit. Buffers have had it since the first Node.js, but
 * @types/node doesn't list it; `write` finds out first what it was asked for, which costs as much again.
 */
export interface Latin1Buffer extends Buffer {
  latin1Write(text: string, offset: number, length: number): number;
}
