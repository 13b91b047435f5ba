import type { Readable } from 'node:stream';
import type { Static, TSchema } from 'typebox';
import type { JsonObject, JsonValue } from '../base/index.ts';
import { AdminProblem } from './problem.ts';
import type { Access, Caller } from './caller.ts';
import type { Services } from './services.ts';

/** One request, after its caller and its form were judged. */
export interface Call<P, Q, B> {
  readonly caller: Caller;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** Unix ms. */
  readonly now: number;
  readonly services: Services;
  /** The header of a host that goes on reading events. */
  readonly lastEventId: string | undefined;
}

/** What a route answers: JSON, or text or bytes with their type. */
export type Reply =
  | { readonly status: number; readonly json: JsonValue }
  | {
      readonly status: number;
      readonly type: string;
      readonly data: string | Uint8Array;
      readonly cache?: string;
      /** Changes with the content; who has that content already gets 304 (RFC 9110 §13.1.2). */
      readonly etag?: string;
    }
  /** A stream without a length, as long as both sides want it. */
  | { readonly status: number; readonly type: string; readonly stream: Readable };

/** A route: what it is, who may call it, what it takes, what it does. There is no other way to make one. */
export interface Route {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly summary: string;
  readonly access: Access;
  readonly params?: TSchema;
  readonly query?: TSchema;
  readonly body?: TSchema;
  /** Bounds of the body's JSON where the ordinary ones are too narrow. */
  readonly json?: { readonly maxDepth: number; readonly maxValues: number };
  /** A body that isn't JSON: handed on as bytes, at most so many. */
  readonly bytes?: number;
  /** True for bodies with evidence: the larger limit. */
  readonly evidence?: boolean;
  readonly handle: (call: Call<never, never, never>) => Promise<Reply>;
}

/** Ties the handler's types to the schemas that Fastify validates with. */
export function route<P extends TSchema, Q extends TSchema, B extends TSchema>(
  spec: Omit<Route, 'handle' | 'params' | 'query' | 'body'> & {
    readonly params?: P;
    readonly query?: Q;
    readonly body?: B;
    readonly handle: (call: Call<Static<P>, Static<Q>, Static<B>>) => Promise<Reply>;
  },
): Route {
  return spec;
}

/** The operator of a call on an operator's route. */
export function operatorOf({ caller }: { readonly caller: Caller }): Extract<Caller, { kind: 'operator' }> {
  if (caller.kind !== 'operator') throw new AdminProblem('not-permitted', 'this needs an operator');
  return caller;
}

/** A validated body as the pure layers take it: it came out of the strict JSON parser. */
export function asJson(body: unknown): JsonObject {
  return body as JsonObject;
}
