select world.chain('u08', '88608');
