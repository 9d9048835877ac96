// A WebSocket as the channel of a buffer: puts text frames directly into the connection below the socket.
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Channel } from './send-buffer.ts';

const FINAL_TEXT = 0x81;

/** Writes whole, unmasked text frames (RFC 6455, section 5.2). The library (ws) writes all other frames in between. */
export class FrameChannel implements Channel {
  constructor(
    private readonly socket: WebSocket,
    private readonly connection: Duplex,
  ) {}

  get isOpen(): boolean {
    return this.socket.readyState === this.socket.OPEN;
  }

  get unsent(): number {
    return this.connection.writableLength;
  }

  headSize(length: number): number {
    return length < 126 ? 2 : length < 65_536 ? 4 : 10;
  }

  writeHead(into: Buffer, at: number, length: number): void {
    into[at] = FINAL_TEXT;
    if (length < 126) {
      into[at + 1] = length;
    } else if (length < 65_536) {
      into[at + 1] = 126;
      into.writeUInt16BE(length, at + 2);
    } else {
      into[at + 1] = 127;
      into.writeBigUInt64BE(BigInt(length), at + 2);
    }
  }

  write(data: Buffer): void {
    this.connection.write(data);
  }

  onceSent(then: () => void): void {
    this.connection.once('drain', then);
  }
}
