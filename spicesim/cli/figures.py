"""The figures command."""

from pathlib import Path

import click

from spicesim.cli.options import keeping_options, open_calibration
from spicesim.experiment.keeping import Keeping
from spicesim.network.dataset import load_dataset

__all__ = ["figures"]


@click.command(
    epilog="example: spicesim figures chip.cal.json --network model.onnx --data data.npz -o figures --only snr-rows"
)
@click.argument("calibration_path", metavar="[CAL.json]", required=False)
@click.option("-o", "--output", "folder", metavar="DIR", default="figures", help="Folder of the page and its files.")
@click.option("--network", "model", metavar="MODEL.onnx", help="For figures of accuracy; needs --data.")
@click.option("--data", metavar="DATA.npz", help="Its inputs x and labels y, x_calibration if there is one.")
@click.option("--only", metavar="NAME", multiple=True, help="This figure; give it again for another.  [default: all]")
@click.option("--list", "wants_list", is_flag=True, help="Tell the figures, and what each needs.")
@click.option("--force", is_flag=True, help="Make figures that are there already, too.")
@click.option("--chips", metavar="N", type=click.IntRange(2), default=10, help="Chips of a band.")
@click.option("--vectors", metavar="N", type=click.IntRange(8), default=200, help="Products of a point.")
@click.option("--images", metavar="N", type=click.IntRange(1), default=200, help="Inputs of the network.")
@click.option("--seed", metavar="S", type=click.IntRange(0), default=0, help="Of all that is drawn.")
@keeping_options
def figures(
    calibration_path: str | None,
    folder: str,
    model: str | None,
    data: str | None,
    only: tuple[str, ...],
    wants_list: bool,
    force: bool,
    chips: int,
    vectors: int,
    images: int,
    seed: int,
    keeping: Keeping,
) -> None:
    """Draw the figures of a paper from a calibration, some from a network, too.

    DIR gets one page, figures.html, and of each figure NAME.pdf, NAME.svg, NAME.csv and NAME.json. Figures that are
    there for the same calibration, network, data, numbers and code are kept, so that an interrupted command goes on.
    """
    from spicesim.figures.album import draw_album  # drawing takes a second to import
    from spicesim.figures.catalogue import FIGURES, choose_figures
    from spicesim.figures.study import Study

    names = choose_figures(only)
    if wants_list:
        width = max(map(len, FIGURES))
        for name in names:
            needs = f"; needs: {', '.join(FIGURES[name].needs)}" if FIGURES[name].needs else ""
            click.echo(f"{name:{width}}  {FIGURES[name].about}{needs}")
        return
    if calibration_path is None:
        raise click.UsageError("Missing argument 'CAL.json'")
    if (model is None) != (data is None):
        raise click.UsageError("--network and --data go together; give both, or neither")
    study = Study(
        calibration=open_calibration(calibration_path), model=model,
        dataset=None if data is None else load_dataset(data), chips=chips, vectors=vectors, images=images, seed=seed,
        keeping=keeping,
    )  # fmt: skip
    Path(folder).mkdir(parents=True, exist_ok=True)
    drawn = draw_album(study, names, folder, force=force, progress=True)
    for name, why in drawn.left_out.items():
        click.echo(f"not drawn: {name}: {why}")
    click.echo(f"wrote {drawn.page}: {len(drawn.made)} figures made, {len(drawn.kept)} kept")
