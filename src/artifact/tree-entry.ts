/** One object of a tree as a walker found it; facts only, `treeManifest` judges. */
export type TreeEntry = DirectoryEntry | FileEntry | LinkEntry | OtherEntry;

interface Named {
  /** Path below the root, components joined by `/`, as the file system stores it (no leading or trailing `/`). */
  readonly path: Uint8Array;
}

export interface DirectoryEntry extends Named {
  readonly type: 'directory';
  /** `st_mode` without the file type: 12 bits. */
  readonly mode: number;
}

export interface FileEntry extends Named {
  readonly type: 'file';
  readonly mode: number;
  /** Bytes. */
  readonly size: number;
  /** 32 bytes. */
  readonly sha256: Uint8Array;
  /** `st_nlink`, and an id of the inode (device and number) that hard links share. */
  readonly links: { readonly count: number; readonly inode: string };
}

export interface LinkEntry extends Named {
  readonly type: 'link';
  readonly target: Uint8Array;
}

/** What can't be part of an artifact: a device, a socket, a FIFO. */
export interface OtherEntry extends Named {
  readonly type: 'other';
  readonly kind: string;
}
