// Routes a call to the node that holds the charger's socket: this one, or another one over the bus.
import type { ChargerCalls, ChargerCommand, Outcome } from '../model/charger/charger-calls.ts';
import type { Gateway } from './gateway.ts';

export interface RoutePorts {
  readonly gateway: () => Gateway;
  readonly nodeId: () => number;
  readonly nodeOf: (chargerId: string) => Promise<number | undefined>;
  readonly request: (nodeId: number, topic: 'call', body: RemoteCall, timeoutMs: number) => Promise<unknown>;
  readonly answerTimeoutMs: number;
}

export interface RemoteCall {
  readonly chargerId: string;
  readonly command: ChargerCommand;
}

/**
 * Time for the bus, on top of what the other node may wait: answerTimeoutMs in its queue, and again for the charger's
 * answer.
 */
const BUS_MS = 1000;

export const routeCall = (ports: RoutePorts): ChargerCalls => ({
  async call(chargerId, command) {
    const gateway = ports.gateway();
    if (gateway.isConnected(chargerId)) return gateway.call(chargerId, command);
    let node: number | undefined;
    try {
      node = await ports.nodeOf(chargerId);
      if (node === undefined || node === ports.nodeId()) return { type: 'offline' };
    } catch {
      return { type: 'offline' }; // Nothing was sent.
    }
    const outcome = await ports
      .request(node, 'call', { chargerId, command }, 2 * ports.answerTimeoutMs + BUS_MS)
      .catch(() => undefined);
    return (outcome as Outcome | undefined) ?? { type: 'timed-out' };
  },
});

/** Executes a call that another node has routed here. It restores the date, which JSON carries as text. */
export function executeRemoteCall(gateway: Gateway, { chargerId, command }: RemoteCall): Promise<Outcome> {
  if (command.type !== 'ReserveNow') return gateway.call(chargerId, command);
  return gateway.call(chargerId, { ...command, expiryDate: new Date(command.expiryDate) });
}
