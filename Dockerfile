# opanas on a machine with an NVIDIA GPU and its container toolkit:
#   docker build -t opanas . && docker run --rm --gpus all --shm-size=8g -v "$PWD/runs:/home/opanas/runs" opanas quickstart
FROM python:3.12-slim

# OpenCV's desktop build, which mmdet asks for, needs two graphics libraries; torch's wheels bring CUDA.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home opanas
COPY --chown=opanas . /opt/opanas
RUN pip install --no-cache-dir '/opt/opanas[mmdet,fast,watch,nsga2]'

USER opanas
WORKDIR /home/opanas
ENTRYPOINT ["opanas"]
CMD ["--help"]
