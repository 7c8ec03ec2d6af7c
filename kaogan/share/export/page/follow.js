// The face looks to where the pointer is: two directions of the latents, to the right and up, that the export found.

const NEAR = 0.02; // from where the face has arrived
const SHARE = 0.35; // of what is left that one picture goes

/** The vector, moved by x (to the right) and y (up), each in [-1, 1]; normal latents keep their length. */
export function leaning(model, vector, x, y) {
  const [right, up] = model.follow;
  const size = (latents) => Math.hypot(...latents);
  const length = size(vector.latents);
  const moved = vector.latents.map((value, i) => value + x * right[i] + y * up[i]);
  const uniform = model.latent.distribution === "uniform";
  const scale = uniform ? 1 : length / (size(moved) || 1);
  return { ...vector, latents: moved.map((value) => (uniform ? Math.min(1, Math.max(-1, value)) : value * scale)) };
}

/**
 * Follows the pointer with what is drawn in `frame`: `draw(still)` is asked for one picture after the other, the
 * next when the last is there, so that a slow machine skips places; `still` says that it has arrived.
 */
export function follower(frame, draw) {
  let wanted = [0, 0];
  let here = [0, 0];
  let moving = false;
  let active = false;

  const left = () => wanted.map((value, i) => value - here[i]);

  async function move() {
    if (moving) return;
    moving = true;
    try {
      while (Math.hypot(...left()) > NEAR) {
        here = left().map((way, i) => here[i] + SHARE * way);
        await draw(false);
        await new Promise(requestAnimationFrame);
      }
    } finally {
      moving = false; // also after a picture that failed: the next move of the pointer tries again
    }
    here = wanted;
    draw(true);
  }

  function lookAt(x, y) {
    if (!active) return;
    wanted = [x, y];
    move();
  }

  addEventListener("pointermove", ({ clientX, clientY }) => {
    const box = frame.getBoundingClientRect();
    const place = (at, from, length) => Math.min(1, Math.max(-1, (2 * (at - from)) / length - 1));
    lookAt(place(clientX, box.left, box.width), -place(clientY, box.top, box.height));
  });
  document.documentElement.addEventListener("pointerleave", () => lookAt(0, 0));

  return {
    place: () => here,
    moving: () => moving,
    rest: () => { wanted = here = [0, 0]; },
    set: (on) => {
      if (!on) lookAt(0, 0);
      active = on;
    },
  };
}
