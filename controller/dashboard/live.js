// Draws what comes over the socket, and says so; the server sends the next frame only then.
// Every name that is shown is drawn as text on the canvas or set as text: nothing from the wire becomes markup.
const STALE_MS = 3000;
const KEPT = 2000;

export default {
  template: `
    <div class="live">
      <canvas ref="canvas" role="img" tabindex="0" :aria-label="label"
        @click="onClick" @mousemove="onMove" @keydown="onKey"></canvas>
      <div class="live-said" aria-live="polite">{{ said }}</div>
    </div>`,
  props: { device: String, bones: Array, zones: Object },
  data() {
    return { label: "Nobody has been seen yet", said: "", drawing: false };
  },
  mounted() {
    this.corners = [];
    this.cursor = [0.5, 0.5];
    this.frame = null;
    this.cameAt = 0;
    this.measured = { latencies: [], frames: 0, skipped: 0, lastSeq: null };
    (window.edgeposeLive ||= {})[this.device] = this.measured;
    this.connect();
    this.timer = setInterval(() => this.request(), 1000);
  },
  unmounted() {
    this.closed = true;
    clearInterval(this.timer);
    this.socket?.close();
  },
  watch: {
    zones() {
      this.request();
    },
  },
  methods: {
    connect() {
      const scheme = location.protocol === "https:" ? "wss" : "ws";
      this.socket = new WebSocket(`${scheme}://${location.host}/live/${this.device}`);
      this.socket.onopen = () => this.socket.send("ready");
      this.socket.onmessage = (event) => {
        this.frame = JSON.parse(event.data);
        this.fresh = true;
        this.cameAt = performance.now();
        this.request();
      };
      this.socket.onclose = () => this.closed || setTimeout(() => this.connect(), 1000);
    },
    request() {
      if (this.requested) return;
      this.requested = true;
      requestAnimationFrame(() => {
        this.requested = false;
        this.draw();
        if (!this.fresh) return;
        this.fresh = false;
        this.measure();
        if (this.socket.readyState === WebSocket.OPEN) this.socket.send("drawn");
      });
    },
    measure() {
      const m = this.measured;
      m.frames += 1;
      if (m.lastSeq !== null && this.frame.seq > m.lastSeq + 1) m.skipped += this.frame.seq - m.lastSeq - 1;
      m.lastSeq = this.frame.seq;
      m.latencies.push(performance.timeOrigin + performance.now() - Date.parse(this.frame.sent_at));
      if (m.latencies.length > KEPT) m.latencies.shift();
    },
    draw() {
      const canvas = this.$refs.canvas;
      if (!canvas) return;
      const { width, height } = this.frame?.frame ?? { width: 640, height: 480 };
      const ratio = window.devicePixelRatio || 1;
      const shown = canvas.clientWidth || 640;
      const scale = (shown * ratio) / width;
      const w = Math.round(shown * ratio), h = Math.round(height * scale);
      if (canvas.width !== w || canvas.height !== h) {
        canvas.width = w;
        canvas.height = h;
      }
      const g = canvas.getContext("2d");
      g.setTransform(1, 0, 0, 1, 0, 0);
      g.fillStyle = "#10141b";
      g.fillRect(0, 0, w, h);
      if (this.picture) {
        g.globalAlpha = 0.6;
        g.drawImage(this.picture, 0, 0, w, h);
        g.globalAlpha = 1;
      }
      this.drawZones(g, w, h, ratio);
      const stale = performance.now() - this.cameAt > STALE_MS;
      if (this.frame && !stale) for (const person of this.frame.persons) this.drawPerson(g, person, scale, ratio);
      if (stale) {
        g.fillStyle = "#9aa4b2";
        g.font = `${15 * ratio}px system-ui, sans-serif`;
        g.textAlign = "center";
        g.fillText(this.cameAt ? "no frames" : "waiting for frames", w / 2, h / 2);
        g.textAlign = "left";
      }
      if (this.drawing) this.drawCorners(g, w, h, ratio);
      const people = this.frame && !stale ? this.frame.persons.length : null;
      const label = people === null ? "No frames" : people === 1 ? "1 person in view" : `${people} people in view`;
      if (label !== this.label) this.label = label;
    },
    drawPerson(g, person, scale, ratio) {
      const hue = (person.id * 137.5) % 360;
      g.strokeStyle = g.fillStyle = `hsl(${hue} 85% 62%)`;
      g.lineWidth = 2.5 * ratio;
      g.lineCap = "round";
      const at = (joint) => person.keypoints.slice(3 * joint, 3 * joint + 3);
      for (const [a, b] of this.bones) {
        const [ax, ay, as] = at(a), [bx, by, bs] = at(b);
        if (as < 0.1 || bs < 0.1) continue;
        g.beginPath();
        g.moveTo(ax * scale, ay * scale);
        g.lineTo(bx * scale, by * scale);
        g.stroke();
      }
      for (let joint = 0; joint < person.keypoints.length / 3; joint++) {
        const [x, y, score] = at(joint);
        if (score < 0.1) continue;
        g.beginPath();
        g.arc(x * scale, y * scale, 2.5 * ratio, 0, 7);
        g.fill();
      }
      const [x, y] = person.bbox;
      g.font = `600 ${13 * ratio}px system-ui, sans-serif`;
      g.fillText(String(person.id), x * scale, y * scale - 4 * ratio);
    },
    drawZones(g, w, h, ratio) {
      g.font = `600 ${13 * ratio}px system-ui, sans-serif`;
      for (const [name, zone] of Object.entries(this.zones)) {
        g.beginPath();
        zone.polygon.forEach(([x, y], i) => (i ? g.lineTo(x * w, y * h) : g.moveTo(x * w, y * h)));
        g.closePath();
        g.fillStyle = zone.mask ? "#00000099" : "#4c9aff2e";
        g.strokeStyle = zone.mask ? "#8b95a3" : "#6cb0ff";
        g.lineWidth = 1.5 * ratio;
        g.fill();
        g.stroke();
        const left = Math.min(...zone.polygon.map((p) => p[0])), top = Math.min(...zone.polygon.map((p) => p[1]));
        g.fillStyle = "#dbe7f5";
        const text = zone.mask ? `${name} (mask)` : `${name}: ${zone.people}`;
        const room = w - g.measureText(text).width - 6 * ratio;
        g.fillText(text, Math.max(0, Math.min(left * w + 6 * ratio, room)), top * h + 16 * ratio);
      }
    },
    drawCorners(g, w, h, ratio) {
      const points = [...this.corners, this.cursor];
      g.strokeStyle = g.fillStyle = "#ffd166";
      g.lineWidth = 2 * ratio;
      g.beginPath();
      points.forEach(([x, y], i) => (i ? g.lineTo(x * w, y * h) : g.moveTo(x * w, y * h)));
      g.stroke();
      for (const [x, y] of points) {
        g.beginPath();
        g.arc(x * w, y * h, 4 * ratio, 0, 7);
        g.fill();
      }
    },
    startZone() {
      this.drawing = true;
      this.corners = [];
      this.say();
      this.$refs.canvas.focus();
      this.request();
    },
    showPicture(address) {
      const picture = new Image();
      picture.onload = () => {
        this.picture = picture;
        this.request();
      };
      picture.src = address;
    },
    say() {
      const n = this.corners.length;
      this.said = !this.drawing ? "" :
        `${n} corners. Click, or move with the arrow keys and press Space, to add one; ` +
        `Enter or a click on the first ends it, Backspace takes one back, Escape gives up.`;
    },
    place(event) {
      const box = this.$refs.canvas.getBoundingClientRect();
      const fraction = (value, size) => Math.round(1000 * Math.min(1, Math.max(0, value / size))) / 1000;
      return [fraction(event.clientX - box.left, box.width), fraction(event.clientY - box.top, box.height)];
    },
    onMove(event) {
      if (!this.drawing) return;
      this.cursor = this.place(event);
      this.request();
    },
    onClick(event) {
      if (this.drawing) this.add(this.place(event));
    },
    add(point) {
      const first = this.corners[0];
      if (first && this.corners.length > 2 && Math.hypot(first[0] - point[0], first[1] - point[1]) < 0.03) {
        this.end();
        return;
      }
      this.corners.push(point);
      this.say();
      this.request();
    },
    end() {
      if (this.corners.length < 3) return;
      this.drawing = false;
      this.$emit("drawn", { polygon: this.corners });
      this.corners = [];
      this.say();
      this.request();
    },
    onKey(event) {
      if (!this.drawing) return;
      const step = event.shiftKey ? 0.1 : 0.02;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      const move = moves[event.key];
      const clamp = (value) => Math.round(1000 * Math.min(1, Math.max(0, value))) / 1000;
      if (move) this.cursor = [clamp(this.cursor[0] + move[0]), clamp(this.cursor[1] + move[1])];
      else if (event.key === " ") this.add([...this.cursor]);
      else if (event.key === "Enter") this.end();
      else if (event.key === "Backspace") this.corners.pop();
      else if (event.key === "Escape") this.drawing = false;
      else return;
      event.preventDefault();
      this.say();
      this.request();
    },
  },
};
