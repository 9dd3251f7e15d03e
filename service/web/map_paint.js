// One frame of the map.

const MOST_PICTURES = 300;
const LEAST_PICTURE = 26;
const MOST_PICTURE = 84;
const HIT_PICTURE = 40;
const NEARER = 1.3;
const MARGIN = 60;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function visible(map, view) {
  const places = [];
  for (let i = 0; i < map.ids.length; i += 1) {
    const [x, y] = view.toScreen(map.x[i], map.y[i]);
    if (x > -MARGIN && y > -MARGIN && x < view.width + MARGIN && y < view.height + MARGIN) places.push([i, x, y]);
  }
  return places;
}

function edges(context, { map, view }) {
  context.beginPath();
  for (const [a, b] of map.edges) {
    const [x, y] = view.toScreen(map.x[a], map.y[a]);
    const [u, v] = view.toScreen(map.x[b], map.y[b]);
    if (Math.max(x, u) < 0 || Math.min(x, u) > view.width || Math.max(y, v) < 0 || Math.min(y, v) > view.height) continue;
    context.moveTo(x, y);
    context.lineTo(u, v);
  }
  context.strokeStyle = colour("--map-edge");
  context.lineWidth = 1;
  context.stroke();
}

function dot(context, x, y, radius, fill, ring) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
  if (!ring) return;
  context.lineWidth = 2;
  context.strokeStyle = ring;
  context.stroke();
}

function picture(context, image, x, y, size, border) {
  const scale = size / Math.max(image.naturalWidth, image.naturalHeight);
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  context.imageSmoothingEnabled = scale < 2;
  context.fillStyle = colour("--surface");
  context.fillRect(x - width / 2 - 1, y - height / 2 - 1, width + 2, height + 2);
  context.drawImage(image, x - width / 2, y - height / 2, width, height);
  context.lineWidth = border ? 3 : 1;
  context.strokeStyle = border ?? colour("--line");
  context.strokeRect(x - width / 2 - 0.5, y - height / 2 - 0.5, width + 1, height + 1);
}

/** How large pictures are drawn; 0: there are too many to draw any. */
function pictureSize(view, seen) {
  if (seen > MOST_PICTURES) return 0;
  const room = Math.sqrt((view.width * view.height) / Math.max(1, seen)) * 0.62;
  return room < LEAST_PICTURE ? 0 : Math.min(MOST_PICTURE, room);
}

/** Draw the map; `image` gives the picture of an item, or null while there is none. */
export function paint(canvas, { map, view, marked, pointed, byKeys, image }) {
  const context = canvas.getContext("2d");
  const ratio = canvas.width / view.width;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, view.width, view.height);
  edges(context, { map, view });
  const [plain, hit, query] = [colour("--map-point"), colour("--accent"), colour("--query")];
  const seen = visible(map, view);
  const size = pictureSize(view, seen.length);
  const radius = Math.max(2, Math.min(7, 2 + view.zoom * 0.7));
  const rank = ([i]) => (i === pointed ? 3 : marked.query.has(String(map.ids[i])) ? 2 : marked.hits.has(String(map.ids[i])) ? 1 : 0);
  const inOrder = seen.map((each) => [rank(each), each]).sort((a, b) => a[0] - b[0]);
  for (const [, [i, x, y]] of inOrder) {
    const id = String(map.ids[i]);
    const isQuery = marked.query.has(id);
    const isHit = marked.hits.has(id);
    const special = isQuery ? query : isHit ? hit : null;
    // Hits have theirs before the others do.
    const wide = size || (special && view.zoom > NEARER ? HIT_PICTURE : 0);
    const found = wide ? image(i) : null;
    if (found) picture(context, found, x, y, wide, i === pointed ? colour("--text") : special);
    else {
      const round = special ? radius + 2.5 : radius;
      dot(context, x, y, i === pointed ? round + 2 : round, special ?? plain, i === pointed ? colour("--text") : special && colour("--surface"));
    }
  }
  if (!byKeys) return;
  const [x, y] = [view.width / 2, view.height / 2];
  context.beginPath();
  context.moveTo(x - 12, y);
  context.lineTo(x + 12, y);
  context.moveTo(x, y - 12);
  context.lineTo(x, y + 12);
  context.lineWidth = 2;
  context.strokeStyle = colour("--text");
  context.stroke();
}
