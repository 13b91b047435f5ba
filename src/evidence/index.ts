export * from './eventlog/index.ts';
export * from './ima/index.ts';
