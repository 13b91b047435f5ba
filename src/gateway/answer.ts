import { isJsonObject, refuse, shape } from '../base/index.ts';
import type { Fail, JsonObject, Shape } from '../base/index.ts';

const { base64url, list, object, text } = shape;
const fail: Fail = (path, want) => refuse('verifier-answer', `${path} is not ${want}`, { member: path });
const anyObject: Shape<JsonObject> = (value, path, no) =>
  isJsonObject(value) ? value : no(path, 'an object');
const token = text({ max: 64 * 1024 });

const answerShape = object({
  leaf: base64url(90_000),
  authorization: token,
  proof: text({ max: 256 * 1024 }),
  consistency: list(text({ max: 64 }), 128),
  attestationResult: token,
  policyManifest: anyObject,
  sealed: anyObject,
});

/** The answer of `POST /v1/executions`: its form is right, nothing of it is believed. */
export type ClaimedAnswer = ReturnType<typeof answerShape>;

/** @throws Refusal `verifier-answer` */
export function parseAnswer(body: JsonObject): ClaimedAnswer {
  return answerShape(body, 'answer', fail);
}
