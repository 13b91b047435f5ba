import { isJsonObject, refuse } from '../base/index.ts';
import type { Fail, JsonObject, JsonValue, Shape } from '../base/index.ts';

const fail: Fail = (path, want) => refuse('verifier-answer', `${path} is not ${want}`, { member: path });

/** An answer in its form. @throws Refusal `verifier-answer` */
export function read<T>(shape: Shape<T>, body: JsonValue): T {
  return shape(body, 'answer', fail);
}

/** A shape for an object whose members are looked at by others: a newer verifier may tell more. */
export const anyObject: Shape<JsonObject> = (value, path, no) =>
  isJsonObject(value) ? value : no(path, 'an object');
