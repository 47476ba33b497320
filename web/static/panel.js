// The statistics: once a second, from the connection and from the worker.

const KEPT = 60;
const ms = (v) => (v === null || v === undefined || !Number.isFinite(v) ? '–' : `${v.toFixed(v < 10 ? 1 : 0)} ms`);
const rate = (v) => (v >= 1e6 ? `${(v / 1e6).toFixed(1)} Mb/s` : `${Math.round(v / 1e3)} kb/s`);

export class Panel {
  constructor(list, graph) {
    this.list = list;
    this.graph = graph;
    this.values = {};
    this.history = []; // [bits a second, latency in ms] of the last minute
    this.last = null;
    this.offsets = [];
    this.latency = null;
  }

  // {inbound: the stream's statistics or null, offset: how far the share's clock is behind ours, about, in ms; null: unknown}
  fromConnection(report, native, video) {
    let inbound = null, pair = null, remote = null;
    for (const s of report.values()) {
      // The audio carrier: beside a video stream that has no packets.
      if (s.type === 'inbound-rtp' && s.packetsReceived > (inbound?.packetsReceived ?? -1)) inbound = s;
      if (s.type === 'candidate-pair' && s.state === 'succeeded' && (s.nominated || !pair)) pair = s;
      if (s.type === 'remote-outbound-rtp') remote = s;
    }
    if (!inbound) return {inbound, offset: null};
    const {last} = this;
    const seconds = last ? (inbound.timestamp - last.timestamp) / 1000 : 0;
    const grown = (name) => (seconds > 0 ? Math.max(0, (inbound[name] ?? 0) - (last[name] ?? 0)) : 0);
    const bps = seconds > 0 ? grown('bytesReceived') * 8 / seconds : 0;
    const packets = grown('packetsReceived'), lost = grown('packetsLost');
    this.last = inbound;
    this.set('Bit rate', rate(bps));
    this.set('Packet loss', packets + lost > 0 ? `${(100 * lost / (packets + lost)).toFixed(1)} %` : '0 %');
    this.set('Round trip', ms(pair?.currentRoundTripTime * 1000));
    if (native) {
      this.set('Path', 'native');
      this.set('Size', `${video.videoWidth} × ${video.videoHeight}`);
      this.set('Pictures', `${(inbound.framesPerSecond ?? 0).toFixed(0)} a second`);
      const decoded = grown('framesDecoded');
      if (decoded > 0) {
        this.set('Decoding', ms(grown('totalDecodeTime') * 1000 / decoded));
        this.set('Waiting to be shown', ms(grown('jitterBufferDelay') * 1000 / Math.max(1, grown('jitterBufferEmittedCount'))));
      }
    }
    this.history.push([bps, this.latency]);
    if (this.history.length > KEPT) this.history.shift();
    this.draw();
    return {inbound, offset: this.offset(remote, pair)};
  }

  // Sender reports say the share's time; the quickest one was delayed the least.
  offset(remote, pair) {
    if (!remote?.remoteTimestamp || remote.remoteTimestamp === this.lastReport) return null;
    this.lastReport = remote.remoteTimestamp;
    this.offsets.push(remote.timestamp - remote.remoteTimestamp);
    if (this.offsets.length > 30) this.offsets.shift();
    const least = Math.min(...this.offsets) - (pair?.currentRoundTripTime ?? 0) * 500;
    // A clock of the same machine, or one that NTP keeps: better than this estimate.
    return Math.abs(least) < 25 ? 0 : least;
  }

  fromWorker(s) {
    this.latency = s.latencyMs;
    this.set('Path', s.decoder ? `${s.decoder}, ${s.drawing || '…'}, ${s.carrier} carrier` : '…');
    const canvas = document.getElementById('canvas');
    this.set('Size', `${canvas.width} × ${canvas.height}`);
    this.set('Pictures', `${s.fps.toFixed(0)} a second${s.skipped ? ` (${s.skipped} not drawn)` : ''}`);
    this.set('Latency', ms(s.latencyMs));
    this.set('– until encoded', ms(s.encodeMs));
    this.set('– until received', ms(s.transferMs));
    this.set('– decoding', ms(s.decodeMs));
    this.set('– drawing', ms(s.drawMs));
    this.set('Frames lost', String(s.lost));
    if (s.behind > 0) this.set('Fell behind', `${s.behind} times`);
    // Everything, for whoever reads it by program.
    document.body.dataset.stats = JSON.stringify(s);
  }

  set(name, text) {
    let dd = this.values[name];
    if (!dd) {
      const dt = document.createElement('dt');
      dt.textContent = name;
      dd = this.values[name] = document.createElement('dd');
      this.list.append(dt, dd);
    }
    if (dd.textContent !== text) dd.textContent = text;
  }

  draw() {
    const {graph} = this;
    if (graph.closest('[hidden]')) return;
    const c = graph.getContext('2d'), {width, height} = graph;
    const style = getComputedStyle(document.documentElement);
    c.clearRect(0, 0, width, height);
    for (const [which, colour] of [[0, style.getPropertyValue('--accent')], [1, style.getPropertyValue('--soft')]]) {
      const top = Math.max(1, ...this.history.map((h) => h[which] ?? 0));
      c.strokeStyle = colour;
      c.beginPath();
      this.history.forEach((h, i) => {
        if (h[which] === null) return;
        c.lineTo(width * i / (KEPT - 1), height - 2 - (height - 4) * h[which] / top);
      });
      c.stroke();
    }
  }
}
