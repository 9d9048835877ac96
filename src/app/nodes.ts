// Makes the requests between nodes, because a charger's socket is at one node only.
import type { PasswordChanges } from '../administration/change-charger-password.ts';
import type { Clock } from '../common/clock.ts';
import type { Log } from '../common/log.ts';
import type { Feed } from '../event-log/feed.ts';
import type { Outcome } from '../model/charger/charger-calls.ts';
import { NodeBus } from '../nodes/node-bus.ts';
import type { Gateway } from '../ocpp/gateway.ts';
import { executeRemoteCall, type RemoteCall, routeCall } from '../ocpp/route-call.ts';
import type { Config } from './config.ts';
import type { Storage } from './storage.ts';

interface Ports {
  readonly storage: Storage;
  readonly feed: Feed;
  /** The sockets of this node. */
  readonly gateway: () => Gateway;
  readonly passwordChanges: () => PasswordChanges;
  /** How long a charger may be asked before its Call counts as lost. */
  readonly callLeaseMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Drop {
  readonly chargerId: string;
  readonly reason: string;
  readonly epoch?: number;
}

export type Nodes = ReturnType<typeof connectNodes>;

export function connectNodes({ databaseUrl, answerTimeoutMs }: Config, ports: Ports) {
  const { storage, feed, gateway, passwordChanges, callLeaseMs, clock, log } = ports;
  const { chargers } = storage;

  const bus: NodeBus = new NodeBus(databaseUrl, storage.database, clock, log, {
    onHint: () => feed.wake(),
    onJoined: () => gateway().reclaim(),
    onDied: async (nodeIds) => {
      await chargers.disconnectAll(nodeIds, clock.now());
      feed.wake();
    },
    onRequest: async (topic, body) => {
      if (topic === 'call') return executeRemoteCall(gateway(), body as RemoteCall);
      if (topic === 'change-password') return passwordChanges().change((body as { chargerId: string }).chargerId);
      const { chargerId, reason, epoch } = body as Drop;
      return gateway().drop(chargerId, reason, epoch);
    },
  });

  /** Closes the charger's socket at that node; an absent node is this one. */
  const drop = (node: number | undefined, request: Drop) => {
    const { chargerId, reason, epoch } = request;
    if (node === undefined || node === bus.nodeId) return gateway().drop(chargerId, reason, epoch);
    bus
      .request(node, 'drop', request, answerTimeoutMs)
      .catch((error) =>
        log.warn({ error, chargerId }, 'another node could not be asked to close the socket of a charger'),
      );
  };

  return {
    bus,
    nodeId: () => bus.nodeId,

    /** Wakes the feeds of every node: the log has grown. */
    announce: () => {
      feed.wake();
      bus.hint();
    },

    calls: routeCall({
      gateway,
      nodeId: () => bus.nodeId,
      nodeOf: chargers.nodeOf,
      request: (node, topic, body, timeoutMs) => bus.request(node, topic, body, timeoutMs),
      answerTimeoutMs,
    }),

    /** Closes the charger's socket at the node that holds it. */
    disconnect: (chargerId: string, reason: string) => {
      chargers
        .nodeOf(chargerId)
        .then((node) => drop(node, { chargerId, reason }))
        .catch((error) => log.error({ error, chargerId }, 'a charger could not be disconnected'));
    },

    /** Closes the older socket of a charger that connected again; one newer than `epoch` stays. */
    supersede: (node: number, chargerId: string, epoch: number) =>
      drop(node, { chargerId, reason: 'A newer connection of this charger took its place', epoch }),

    /** Changes the password at the node that holds the charger's socket. */
    changePassword: async (chargerId: string): Promise<Outcome> => {
      const node = gateway().isConnected(chargerId) ? bus.nodeId : await chargers.nodeOf(chargerId);
      if (node === undefined || node === bus.nodeId) return passwordChanges().change(chargerId);
      const answer = bus.request(node, 'change-password', { chargerId }, callLeaseMs);
      return ((await answer.catch(() => undefined)) as Outcome | undefined) ?? { type: 'timed-out' };
    },
  };
}
