export * from './bytes.ts';
export * from './jcs.ts';
export * from './json.ts';
export * from './limits.ts';
export * from './ports.ts';
export * from './reader.ts';
export * from './refusal.ts';
export * from './writer.ts';
