"""The ground: every pixel below the horizon traced to its place on the street.

Shape legend: R rows below the horizon, W picture columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contextnet.data.synthetic.camera import Camera, Pose
from contextnet.data.synthetic.ids import LABEL_ID
from contextnet.data.synthetic.light import LIGHT_LEVELS, Light
from contextnet.data.synthetic.noise import fractal_noise
from contextnet.data.synthetic.plan import BEHIND_M, Plan, Surface
from contextnet.data.synthetic.texture import soft_clip

ACROSS_STEP_M = 0.025
ALONG_STEP_M = 0.05
HALF_WIDTH_M = 70.0
FARTHEST_M = 400.0
SHADES = 128
TILE = 512
TILE_M = 7.68
FAR_GROUND = Surface.GRASS

_LABEL: dict[Surface, str] = {
    Surface.ASPHALT: "road",
    Surface.MARKING: "road",
    Surface.CURB: "sidewalk",
    Surface.PAVING: "sidewalk",
    Surface.GRASS: "terrain",
    Surface.COBBLES: "road",
    Surface.RAIL: "road",
    Surface.CYCLE_LANE: "road",
}


@dataclass(frozen=True, eq=False)
class Ground:
    """Tables that turn a place on the street into surface, colour and label.

    ``surface`` (kinds, across bins) uint8; ``kind`` (along bins) uint8; ``shadow_edge`` (along bins) float32, the
    across distance beyond which houses shade the ground, on the side of ``shadow_sign``; ``tiles`` three sizes of
    uint8 (families, n, n) 0..63; ``stains`` uint8 (256, 256) 0..63; ``palette`` uint32 RGBX by (shadow, surface,
    shade).
    """

    bend_offset: NDArray[np.float32]
    surface: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    shadow_edge: NDArray[np.float32]
    shadow_sign: int
    tiles: tuple[NDArray[np.uint8], ...]
    stains: NDArray[np.uint8]
    palette: NDArray[np.uint32]
    family: NDArray[np.int32]
    label: NDArray[np.int32]

    def draw(
        self,
        camera: Camera,
        pose: Pose,
        colors_HW: NDArray[np.uint32],
        ids_HW: NDArray[np.int32],
        inverse_depth_HW: NDArray[np.float32],
    ) -> None:
        """Paint the rows below the horizon of the three buffers: RGBX, label ids, 1/depth."""
        height, _ = camera.size_hw
        rows = np.arange(height, dtype=np.float64) + 0.5
        slope = (rows - height / 2) / camera.focal_px
        falling = slope * np.cos(pose.pitch_rad) + np.sin(pose.pitch_rad)
        first = int(np.searchsorted(falling, pose.y_m / FARTHEST_M))
        if first >= height:
            return
        depth_R = pose.y_m / falling[first:]
        inverse_depth_HW[first:] = (1.0 / depth_R).astype(np.float32)[:, None]
        ahead_R = depth_R * (np.cos(pose.pitch_rad) - slope[first:] * np.sin(pose.pitch_rad))
        spread_R = depth_R**2 / (camera.focal_px * pose.y_m)
        # Row blocks by how much ground one row covers: each takes the tile whose grain is about a pixel.
        bounds = np.searchsorted(-spread_R, [-1.2, -0.3, -0.075]).tolist()
        edges = [0, *bounds, len(depth_R)]
        for level, (start, end) in zip((3, 2, 1, 0), pairwise(edges), strict=True):
            if end > start:
                block = slice(first + start, first + end)
                part = slice(start, end)
                colors_HW[block], ids_HW[block] = self._block(camera, pose, depth_R[part], ahead_R[part], level)

    def _block(
        self, camera: Camera, pose: Pose, depth_R: NDArray[np.float64], ahead_R: NDArray[np.float64], level: int
    ) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
        width = camera.size_hw[1]
        side_W = ((np.arange(width) + 0.5 - width / 2) / camera.focal_px).astype(np.float32)
        yaw_cos, yaw_sin = np.cos(pose.yaw_rad), np.sin(pose.yaw_rad)
        depth, ahead = depth_R.astype(np.float32)[:, None], ahead_R.astype(np.float32)[:, None]
        lateral = side_W[None, :] * depth
        along = lateral * np.float32(-yaw_sin)
        along += ahead * np.float32(yaw_cos) + np.float32(pose.z_m + BEHIND_M)
        across = lateral
        across *= np.float32(yaw_cos)
        across += ahead * np.float32(yaw_sin) + np.float32(pose.x_m)
        along_bin = (along * np.float32(1 / ALONG_STEP_M)).astype(np.int32)
        np.clip(along_bin, 0, len(self.kind) - 1, out=along_bin)
        across -= self.bend_offset[along_bin]
        across_bin = ((across + np.float32(HALF_WIDTH_M)) * np.float32(1 / ACROSS_STEP_M)).astype(np.int32)
        np.clip(across_bin, 0, self.surface.shape[1] - 1, out=across_bin)
        across_bin += self.kind[along_bin].astype(np.int32) * np.int32(self.surface.shape[1])
        surface = self.surface.ravel()[across_bin]
        entry = self._shade(surface, along, across, level)
        entry += surface.astype(np.int32) * np.int32(SHADES)
        if self.shadow_sign:
            dark = across * np.float32(self.shadow_sign) > self.shadow_edge[along_bin]
            entry += dark * np.int32(SHADES * len(Surface))
        return self.palette[entry], self.label[surface]

    def _shade(
        self, surface: NDArray[np.uint8], along: NDArray[np.float32], across: NDArray[np.float32], level: int
    ) -> NDArray[np.int32]:
        """Brightness index 0..127 from the fine tile of this level and the coarse stains."""
        z = (along * np.float32(TILE / TILE_M)).astype(np.int32)
        x = ((across + np.float32(HALF_WIDTH_M)) * np.float32(TILE / TILE_M)).astype(np.int32)
        stain = self.stains[(z >> 4) & 255, (x >> 4) & 255]
        if level >= len(self.tiles):
            return np.asarray(stain + np.int32(32), np.int32)
        tile = self.tiles[level]
        shift, size = 2 * level, tile.shape[1]
        cell = ((z >> shift) & (size - 1)) * np.int32(size)
        cell += (x >> shift) & (size - 1)
        cell += self.family[surface] * np.int32(size * size)
        return np.asarray(tile.ravel()[cell].astype(np.int32) + stain, np.int32)


PLAIN, DASH_GAP, CROSSING, JUNCTION, CROSS_PAVEMENT, STOP_LINE = range(6)


def ground_for(
    rng: np.random.Generator, plan: Plan, light: Light, shadow_edge: NDArray[np.float32], shadow_sign: int
) -> Ground:
    """Build the tables of one street; ``shadow_edge`` holds one value per along bin (see ``along_bins``)."""
    along = along_bins(plan)
    return Ground(
        bend_offset=plan.bend.offset(along).astype(np.float32),
        surface=_surface_table(plan),
        kind=_kinds(plan, along),
        shadow_edge=shadow_edge,
        shadow_sign=shadow_sign,
        tiles=_tiles(rng),
        stains=(fractal_noise(rng, (256, 256), 6, 6) * 63).astype(np.uint8),
        palette=_palette(rng, light),
        family=np.array([_FAMILY[s] for s in Surface], np.int32),
        label=np.array([LABEL_ID[_LABEL[s]] for s in Surface], np.int32),
    )


def along_bins(plan: Plan) -> NDArray[np.float64]:
    """Street distances in metres of the along bins, from behind the start to beyond the view's end."""
    return np.arange(-BEHIND_M, plan.length_m + 130.0, ALONG_STEP_M)


def _surface_table(plan: Plan) -> NDArray[np.uint8]:
    across = np.arange(-HALF_WIDTH_M, HALF_WIDTH_M, ACROSS_STEP_M)
    plain = np.full(len(across), FAR_GROUND, np.uint8)
    for strip in plan.strips:
        plain[(across >= strip.start_m) & (across < strip.end_m)] = strip.surface
    gap = plain.copy()
    plain[np.abs(across) < 0.07] = Surface.MARKING
    road = (across > -plan.left.curb_m) & (across < plan.right.curb_m)
    stripes = np.where(road & (np.floor(across / 0.5) % 2 == 0), Surface.MARKING, gap)
    junction = np.where(np.isin(gap, [Surface.RAIL]), gap, Surface.ASPHALT)
    outer = (across < -plan.left.pavement[0]) | (across > plan.right.pavement[0])
    corner = np.where(outer, Surface.PAVING, np.where(road, gap, Surface.PAVING))
    stop = np.where((across > 0) & (across < 2 * plan.right.lane_m), Surface.MARKING, corner)
    return np.stack([plain, gap, stripes, junction, corner, stop]).astype(np.uint8)


def _kinds(plan: Plan, along: NDArray[np.float64]) -> NDArray[np.uint8]:
    dash = (along % 9.0) > 4.5 if plan.dashed else np.zeros(len(along), bool)
    kinds = np.where(dash, DASH_GAP, PLAIN)
    for start, end in plan.junctions:
        kinds[(along > start - 4.2) & (along < end + 4.2)] = CROSS_PAVEMENT
        kinds[(along > start - 4.7) & (along < start - 4.2)] = STOP_LINE
        kinds[(along > start - 3.6) & (along < start - 0.6)] = CROSSING
        kinds[(along > end + 0.6) & (along < end + 3.6)] = CROSSING
        kinds[(along >= start) & (along <= end)] = JUNCTION
    return kinds.astype(np.uint8)


ASPHALT_GRAIN, PAVING_SLABS, GRASS_BLADES, COBBLE_STONES = range(4)

_FAMILY: dict[Surface, int] = {
    Surface.ASPHALT: ASPHALT_GRAIN,
    Surface.MARKING: ASPHALT_GRAIN,
    Surface.CURB: ASPHALT_GRAIN,
    Surface.PAVING: PAVING_SLABS,
    Surface.GRASS: GRASS_BLADES,
    Surface.COBBLES: COBBLE_STONES,
    Surface.RAIL: ASPHALT_GRAIN,
    Surface.CYCLE_LANE: ASPHALT_GRAIN,
}


def _tiles(rng: np.random.Generator) -> tuple[NDArray[np.uint8], ...]:
    """Draw the grain of the four families, and its averages over 4 × 4 and 16 × 16."""
    grain = 0.5 + 0.17 * rng.standard_normal((TILE, TILE)) + 0.25 * (fractal_noise(rng, (TILE, TILE), 32, 4) - 0.5)
    families = [grain, _slabs(rng, int(rng.choice([16, 32, 64]))), _grass(rng), _slabs(rng, 8)]
    finest = np.clip(np.stack(families) * 63, 0, 63)
    coarser = [finest.reshape(4, TILE // n, n, TILE // n, n).mean((2, 4)) for n in (4, 16)]
    return tuple(tile.astype(np.uint8) for tile in (finest, *coarser))


def _slabs(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Stones ``size`` texels wide in a running bond, each with its own brightness, with dark joints."""
    rows, columns = np.mgrid[0:TILE, 0:TILE]
    shifted = columns + (rows // size % 2) * (size // 2)
    stone = rng.random((TILE // size, TILE // size))[rows // size, shifted // size % (TILE // size)]
    width = max(1, size // 20)
    joint = (rows % size < width) | (shifted % size < width)
    bright = 0.5 + 0.3 * (stone - 0.5) + 0.08 * rng.standard_normal((TILE, TILE))
    return np.where(joint, 0.12, bright)


def _grass(rng: np.random.Generator) -> NDArray[np.float64]:
    blades = rng.random((TILE, TILE))
    blades = (blades + np.roll(blades, 1, 0) + np.roll(blades, 2, 0)) / 3
    clumps = fractal_noise(rng, (TILE, TILE), 12, 4).astype(np.float64)
    return 0.5 + 1.3 * (blades - 0.5) + 0.9 * (clumps - 0.5)


def _palette(rng: np.random.Generator, light: Light) -> NDArray[np.uint32]:
    asphalt = np.array([1.0, 1.0, 1.03]) * rng.uniform(78, 122)
    paving = np.array([1.0, 0.97, 0.92]) * rng.uniform(128, 172) + rng.normal(0, 6, 3)
    grass = np.array([rng.uniform(70, 120), rng.uniform(108, 132), rng.uniform(38, 62)])
    colors = {
        Surface.ASPHALT: asphalt,
        Surface.MARKING: np.array([222.0, 222, 216]) * rng.uniform(0.82, 1.0),
        Surface.CURB: paving * 1.12,
        Surface.PAVING: paving,
        Surface.GRASS: grass,
        Surface.COBBLES: asphalt * 0.9 + np.array([10.0, 6, 4]),
        Surface.RAIL: np.array([88.0, 84, 84]),
        Surface.CYCLE_LANE: np.array([150.0, 82, 70]) if rng.random() < 0.6 else asphalt * 1.05,
    }
    contrast = dict.fromkeys(Surface, 0.42) | {Surface.GRASS: 1.2, Surface.COBBLES: 0.9, Surface.PAVING: 0.7}
    lit_level = round(LIGHT_LEVELS * light.sun[1])
    shade = (np.arange(SHADES) - 63.5) / 63.5
    table = np.zeros((2, len(Surface), SHADES, 4), np.uint8)
    for shadow, level in enumerate((lit_level, 0)):
        for surface in Surface:
            base = colors[surface][None] * (1 + contrast[surface] * shade[:, None]) * np.array(light.factors(level))
            table[shadow, surface, :, :3] = np.clip(soft_clip(base), 0, 255)
    return table.view(np.uint32).ravel()
