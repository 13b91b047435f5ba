import type { Clock, Random } from '../base/index.ts';
import { toHex } from '../base/index.ts';

/** A UUIDv7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, 74 random bits. */
export function newExecutionId(clock: Clock, random: Random): string {
  const bytes = random.bytes(16);
  new DataView(bytes.buffer, bytes.byteOffset).setUint16(0, Math.floor(clock.now() / 2 ** 32));
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(2, clock.now() % 2 ** 32);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = toHex(bytes);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
