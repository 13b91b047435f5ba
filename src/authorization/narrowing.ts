import { refuse } from '../base/index.ts';
import type { Constraints, ExecutionDetails } from './claims.ts';

/** True when `parent` covers `child`: literally, or `a.*` covers what is below `a` (never `a` itself). */
export function scopeCovers(parent: string, child: string): boolean {
  return parent === child || (parent.endsWith('.*') && child.startsWith(parent.slice(0, -1)));
}

/** True when every scope of the child is covered by one of the parent's. */
export function scopesCovered(parent: readonly string[], child: readonly string[]): boolean {
  return child.every((scope) => parent.some((covering) => scopeCovers(covering, scope)));
}

/**
 * What a child may get: the parent's rights cut by what it asks for. The result is never wider than the parent
 * (meet(parent, request) ⊆ parent).
 * @throws Refusal `not_narrower` when something that is asked for is not covered: asking for more is an error, not
 *   silently less
 */
export function meet(parent: ExecutionDetails, request: ExecutionDetails): ExecutionDetails {
  const child: ExecutionDetails = {
    ...request,
    constraints: meetConstraints(parent.constraints, request.constraints),
  };
  requireNarrower(parent, child);
  return child;
}

/**
 * Checks that a child's details are within its parent's: actions and scopes covered, every constraint of the parent
 * present and equal or tighter. Artifact and host may differ: they are checked by appraisal and policy.
 * @throws Refusal `not_narrower`
 */
export function requireNarrower(parent: ExecutionDetails, child: ExecutionDetails): void {
  if (!child.actions.every((action) => parent.actions.includes(action))) wider('actions');
  if (!scopesCovered(parent.scopes, child.scopes)) wider('scopes');
  const { children, lifetime, uses, audiences } = parent.constraints;
  requireAtMost('children', children, child.constraints.children);
  requireAtMost('lifetime', lifetime, child.constraints.lifetime);
  requireAtMost('uses', uses, child.constraints.uses);
  const own = child.constraints.audiences;
  if (audiences !== undefined && !own?.every((audience) => audiences.includes(audience))) {
    wider('audiences');
  }
}

/** Absence of a limit that the parent has is widening. */
function requireAtMost(name: string, parent: number | undefined, child: number | undefined): void {
  if (parent !== undefined && (child === undefined || child > parent)) wider(name);
}

function wider(what: string): never {
  refuse('not_narrower', `the child's ${what} are wider than its parent's`, { what });
}

/** The tighter of both for each limit; a limit that only one side has stays. */
function meetConstraints(parent: Constraints, request: Constraints): Constraints {
  const audiences = request.audiences ?? parent.audiences;
  return {
    ...tighter('children', parent.children, request.children),
    ...tighter('lifetime', parent.lifetime, request.lifetime),
    ...tighter('uses', parent.uses, request.uses),
    ...(audiences === undefined ? {} : { audiences }),
  };
}

function tighter(
  name: 'children' | 'lifetime' | 'uses',
  a: number | undefined,
  b: number | undefined,
): Constraints {
  if (a === undefined && b === undefined) return {};
  return { [name]: Math.min(a ?? Infinity, b ?? Infinity) };
}
