select world.chain('u87', '88687');
