import type { ProvedParent } from '../agent/runner-port.ts';
import type { HolderBinding } from '../authorization/index.ts';
import { isJsonObject, refuse, shape } from '../base/index.ts';
import { CHILD_SOCKET_VARIABLE, RENEW_SIGNALS } from '../client/index.ts';
import type { Fail, JsonObject, Shape } from '../base/index.ts';

const { base64url, list, map, nullable, object, oneOf, set, text } = shape;

/** Variables by which what runs finds what is its own: its credentials, and the socket by which it starts others. */
export const CREDENTIALS_VARIABLE = 'CREDENTIALS_DIRECTORY';
export { CHILD_SOCKET_VARIABLE };

const noNul = (max: number, min = 0): Shape<string> =>
  text({ min, max, pattern: /^[^\0]*$/, want: 'a text without NUL' });
const absolute = text({ max: 4096, pattern: /^\/[^\0]*$/, want: 'an absolute path' });
const name = text({ max: 256 });
const fail: Fail = (path, want) => refuse('run-order', `${path} is not ${want}`, { member: path });

/**
 * What is to run, as data: `artifact` is the file or tree that was signed, `entry` the file of a tree that starts (empty
 * for a file), `initiatorKey` and `parentKey` private keys (PKCS #8 PEM) by which their holders prove themselves. A parent
 * without its key is proved by whoever asks, when the request is made. `onRenew`, where it is there, is the signal that the
 * command gets after each renewal of its files.
 */
const orderShape = object(
  {
    artifact: absolute,
    entry: text({ min: 0, max: 4096, pattern: /^(?!\/)[^\0]*$/, want: 'a path below the artifact' }),
    args: list(noNul(128 * 1024), 1023),
    environment: map(/^[A-Za-z_][A-Za-z0-9_]{0,255}$/, noNul(128 * 1024), 255),
    cwd: absolute,
    scopes: set(name, 64),
    credentials: set(name, 32),
    signatures: list(object({ format: oneOf('dsse', 'cms', 'ssh'), data: base64url(350_000) }), 16),
    initiator: nullable(text({ max: 16_384 })),
    initiatorKey: nullable(text({ max: 8192 })),
    parent: nullable(text({ max: 16_384 })),
    parentKey: nullable(text({ max: 8192 })),
  },
  { onRenew: oneOf(...RENEW_SIGNALS) },
);

/** An order to run one artifact. */
export type RunOrder = ReturnType<typeof orderShape>;

/** Reads an order that came over the local socket: closed, typed, bounded. @throws Refusal `run-order` */
export function parseRunOrder(value: JsonObject): RunOrder {
  if (!isJsonObject(value)) fail('order', 'an object');
  const order = orderShape(value, 'order', fail);
  if (order.parent === null && order.parentKey !== null) fail('order.parentKey', 'there with a parent only');
  if (order.initiator === null && order.initiatorKey !== null)
    fail('order.initiatorKey', 'there with an initiator only');
  // These are what the gateway says: what runs believes them.
  for (const name of [CREDENTIALS_VARIABLE, CHILD_SOCKET_VARIABLE]) {
    if (Object.hasOwn(order.environment, name)) fail(`order.environment.${name}`, 'left to the gateway');
  }
  return order;
}

/** Who runs it: the numbers of an ordinary user. */
export interface RunUser {
  readonly uid: number;
  readonly gid: number;
}

/** Has a parent's proof made for one request. */
export type Prove = (binding: HolderBinding) => Promise<ProvedParent>;
