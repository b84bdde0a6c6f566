"""A graph: many tasks declared at once, in any order, and drawn with their states."""

import asyncio

from windlass import TaskDependencyError, TaskManager, call, ref


async def step(name: str, *needs: str) -> str:
    await asyncio.sleep(0.02)
    return f"{name}({', '.join(needs)})"


async def main() -> None:
    async with TaskManager() as tm:
        house = tm.graph(
            {
                "roof": call(step, "roof", ref("walls")),
                "walls": call(step, "walls", ref("base")),
                "garden": call(step, "garden", ref("base")),
                "base": call(step, "base"),
                "party": call(step, "party", ref("roof"), ref("garden")),
            }
        )
        print(await house["party"])
        print(tm.draw(house.values(), format="text"))

        # All or nothing: what cannot be run is refused before anything is.
        try:
            tm.graph({"hen": call(step, "hen", ref("egg")), "egg": call(step, "egg", ref("hen"))})
        except TaskDependencyError as error:
            print("refused:", error)


if __name__ == "__main__":
    asyncio.run(main())
